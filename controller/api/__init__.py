"""The API of the controller: what people and programs ask of rollouts, over HTTP."""
