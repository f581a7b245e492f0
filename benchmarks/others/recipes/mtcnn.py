"""Builds a net of MTCNN, whose classes lie beside this file as facenet-pytorch has them; its weights come as safetensors."""

from facenet_models.mtcnn import ONet, PNet, RNet

NETS = {"pnet": PNet, "rnet": RNet, "onet": ONet}


def build(*, name):
    """Return an untrained net."""
    return NETS[name](pretrained=False)
