"""The contenders: for each library one that trains and one that predicts, all with the faces of `face.py`.

Each is what an experienced user of that library would write to do this as fast as it goes, and lives alone in its
process. Libraries are imported when a contender is made.
"""

from __future__ import annotations

from bench.contenders.compiled import CompiledPredictor, CompiledTrainer
from bench.contenders.face import Contender
from bench.contenders.many import LoopTrainer, PackTrainer, VmapTrainer
from bench.contenders.onnx import OnnxPredictor
from bench.contenders.ours import OurPredictor, OurTrainer
from bench.contenders.plain import PlainPredictor, PlainTrainer
from bench.contenders.torch import TorchPredictor, TorchTrainer
from bench.contenders.xla import ScanTrainer, StepTrainer, XlaPredictor

CONTENDERS: dict[str, dict[str, type[Contender]]] = {
    "train": {
        one.name: one for one in (OurTrainer, TorchTrainer, CompiledTrainer, ScanTrainer, StepTrainer, PlainTrainer)
    },
    "predict": {
        one.name: one
        for one in (OurPredictor, TorchPredictor, CompiledPredictor, XlaPredictor, OnnxPredictor, PlainPredictor)
    },
    "pack": {one.name: one for one in (PackTrainer, LoopTrainer, VmapTrainer)},
}
