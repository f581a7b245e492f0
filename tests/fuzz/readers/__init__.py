"""Every reader of outside bytes: what users write, what comes with a model, what a board or a host says, what lies on disks."""

from tests.fuzz.readers import boards, bundles, data, disks, models, projects

READERS = (*projects.READERS, *data.READERS, *models.READERS, *bundles.READERS, *boards.READERS, *disks.READERS)
