"""What Go templates can call: Go's own functions and those of both confds."""
