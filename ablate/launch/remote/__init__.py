"""What launchers need whose agents live on other machines: addresses, a shared folder, machines that fit together."""
