"""A recipe of ours as a standalone SpeechBrain recipe, to be sent to SpeechBrain."""
