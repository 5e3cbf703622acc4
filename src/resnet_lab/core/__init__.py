"""What every part needs: configuration, building, console, device, processes, files, overhead."""
