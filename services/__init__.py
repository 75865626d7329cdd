"""The services of Carillon: one package a service, and the kernel that they stand on."""
