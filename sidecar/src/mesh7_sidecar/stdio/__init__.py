"""The program `mesh7 stdio`: one client on stdin and stdout, in front of the folder's gateway."""
