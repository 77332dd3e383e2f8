"""Mail from other systems (Reg. 10.4): sources, where their folders go, what was taken already, and the run itself."""
