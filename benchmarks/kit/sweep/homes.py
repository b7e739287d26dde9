HOMES = {}
