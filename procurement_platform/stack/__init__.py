"""The real servers of the cluster profile, as plain processes on this machine: `procurement stack`."""
