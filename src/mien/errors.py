"""The errors mien raises on bad input: each names the input, what is wrong with it, and what to do next."""


class MienError(Exception):
    """Base of all errors that are the input's or the machine's, never mien's own bug.

    The message is one line and names the input, what is wrong, and the way out. The command line prints it
    as it is, without a traceback.
    """


class UnreadableInput(MienError):
    """A file that is missing, empty, truncated, too large, of no known format, or not allowed to be read."""


class NoFace(MienError):
    """A readable picture in which no face was found."""


class BadFaceFile(MienError):
    """A `.face.json` of another schema or model, of wrong lengths, or with numbers that are not finite."""


class BadAsset(MienError):
    """A packaged file that is missing or whose sha256 is not the recorded one."""


class BadModelFile(MienError):
    """A face model of another layout than published, of wrong shapes, or incomplete."""


class CannotWrite(MienError):
    """An output that cannot be written: no permission, no space, or the name is taken by a folder."""


class MissingLibrary(MienError):
    """A system library that a dependency needs is not installed on this machine."""


class BadCorpus(MienError):
    """A corpus of pictures with missing, truncated or altered files, of other settings, or not finished."""


class BadTraining(MienError):
    """A training run that cannot start or go on: settings without meaning, a folder of another run, a loss
    that is NaN or climbs, too little memory."""


class BadPrototypes(MienError):
    """A table of prototypes with missing or unknown expressions, or with anything but finite numbers."""
