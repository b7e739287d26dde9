"""Operating system services: files, locks, the cache folder, mapped pages, the location of the CUDA sources."""
