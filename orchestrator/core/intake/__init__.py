"""Events as the owner's other systems write them, and how they become events of a surface."""
