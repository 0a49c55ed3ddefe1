# Part of the pock project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ``sparsebp`` dialect: parameters with update masks, and the gradients of partial training.

``README.md`` beside this file documents every operation with IR.
"""

from .all_reduce import AllReduceOp
from .assign import AssignOp
from .avg_pool import AvgPoolOp
from .avg_pool_grad import AvgPoolGradOp
from .conv_input_grad import ConvInputGradOp
from .conv_weight_grad import ConvWeightGradOp
from .convolution import ConvolutionOp
from .dialect import SparseBP, context, load
from .embedding_grad import EmbeddingGradOp
from .mask import Mask, MaskAttr, MaskKind
from .max_pool import MaxPoolArgmaxOp, MaxPoolOp
from .max_pool_grad import MaxPoolGradOp
from .parameter import ParameterOp
from .random_mask import RandomMaskOp
from .random_uniform import RandomUniformOp
from .read import ReadOp
from .save import SaveOp
from .select_channels import SelectChannelsOp
from .state import StateOp
from .symbols import declarations, verify_program
from .update import UpdateOp

__all__ = [
    "AllReduceOp",
    "AssignOp",
    "AvgPoolGradOp",
    "AvgPoolOp",
    "ConvInputGradOp",
    "ConvWeightGradOp",
    "ConvolutionOp",
    "EmbeddingGradOp",
    "Mask",
    "MaskAttr",
    "MaskKind",
    "MaxPoolArgmaxOp",
    "MaxPoolGradOp",
    "MaxPoolOp",
    "ParameterOp",
    "RandomMaskOp",
    "RandomUniformOp",
    "ReadOp",
    "SaveOp",
    "SelectChannelsOp",
    "SparseBP",
    "StateOp",
    "UpdateOp",
    "context",
    "declarations",
    "load",
    "verify_program",
]
