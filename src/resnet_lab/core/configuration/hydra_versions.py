"""Bridge the differences between Hydra 1.3 and 1.4, and between their versions of OmegaConf."""

import hydra
from omegaconf import OmegaConf

HYDRA_1_3 = hydra.__version__.startswith("1.3.")

# Arguments of `hydra.main` and `initialize_config_dir`: 1.4 deprecates the one that 1.3 asks for.
VERSION_BASE = {"version_base": "1.3"} if HYDRA_1_3 else {}

# 1.4 deprecates the one name; in 1.3 the other one is an older function.
register_resolver = getattr(
    OmegaConf, "register_new_resolver" if HYDRA_1_3 else "register_resolver"
)
