"""How data becomes a student: one stage a script, one dataset a folder."""
