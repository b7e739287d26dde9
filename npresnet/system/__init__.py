"""What the operating system has to be asked for: files, locks, the cache folder, mapped pages, the CUDA sources."""
