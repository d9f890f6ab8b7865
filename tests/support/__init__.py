"""What tests share: small libraries, fakes that implement the engine's protocols, processes to kill."""
