"""OpenVINO on a board: payloads are compiled, run and looked into here; runtimes/openvino.py is the door."""
