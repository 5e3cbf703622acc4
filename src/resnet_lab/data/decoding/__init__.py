"""From picture files of any mode and size to uint8 pixels."""
