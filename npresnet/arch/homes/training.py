"""What training leaves in a file: buffers of losses, averages and metrics. No prediction depends on them."""

from __future__ import annotations

from npresnet.arch.homes.home import Home

_LOSS = (
    r"^([^.]+\.)*(criterion|loss|losses|loss_fn|loss_func|loss_function|[a-z]+_(criterion|loss|loss_fn)|criterion_[a-z]+)"
    r"(\.|$)|^(class|pos)_weights?$"
)
_AVERAGE = r"^(n_averaged|initted|(ema|model_ema|ema_model)\.(decay|num_updates|step|initted))$"
_STEP = r"^((global_|train_)?step|epoch|iteration|num_updates)$"
_METRIC = (
    r"^(train|val|valid|test)?_?(acc|accuracy|f1|auroc|metrics?|confusion_matrix|confmat|precision|recall)(_?[0-9]+)?\."
    r"(?!(.*\.)?(weight|bias|running_mean|running_var)$)"  # of a layer that has such a name
)
_PROFILE = r"(^|\.)total_(ops|params)$"  # added to every module by the profiler thop

TRAINING: tuple[Home, ...] = (
    Home(_LOSS, left_out=_LOSS, note="of the loss", read_by="nothing"),
    Home(_STEP, ndim=0, left_out=_STEP, counts=True, note="counters of training", read_by="nothing"),
    Home(_AVERAGE, ndim=0, left_out=_AVERAGE, note="counters of averaged weights", read_by="nothing"),
    Home(_METRIC, left_out=_METRIC, note="of metrics", read_by="nothing"),
    Home(_PROFILE, left_out=_PROFILE, note="counted by a profiler", read_by="nothing"),
)
