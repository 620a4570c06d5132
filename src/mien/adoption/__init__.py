"""Makes a published face model one of mien's: correspondence, landmarks, and what it may lack."""
