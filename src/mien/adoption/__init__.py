"""Makes a published face model one of mien's: correspondence, landmarks, colours and expressions it may lack."""
