"""Programs that run inside the virtual machine; they import nothing of this tree."""
