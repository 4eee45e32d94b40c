"""The actions of parties and strangers on chain, each as a plan with its reasons."""
