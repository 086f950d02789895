# SPDX-License-Identifier: Apache-2.0
"""Ignite glue: what the configs wire together into training, evaluation and inference."""

from .case_results import CaseResults
from .checkpoint import Checkpoints
from .distributed import (
    case_sampler,
    default_device,
    distributed_network,
    init_process_group,
    leave_process_group,
    run_evaluator,
)
from .epoch_seed import EpochSeed
from .experiment import Experiment
from .finite_training import FiniteTraining
from .inferer import SequenceInferer
from .input_errors import explain_input_errors
from .poly_schedule import PolySchedule
from .prefetching import PrefetchingLoader
from .prepared_dataset import PreparedDataset
from .report_label_maps import report_label_maps
from .report_studies import StudyReports
from .runs import prepare_results_dir, prepare_training_dir
from .settings import check_settings
from .skipping import SkippingDataset, SkippingEvaluator
from .study_memory import StudyMemory
from .training_log import EpochLosses, EvaluationProgress, TrainingProgress
from .training_summary import TrainingSummary
from .unread_options import warn_of_unread_options
from .validation_pictures import ValidationPictures
from .weights import WeightsLoader

__all__ = [
    "CaseResults",
    "Checkpoints",
    "EpochLosses",
    "EpochSeed",
    "EvaluationProgress",
    "Experiment",
    "FiniteTraining",
    "PolySchedule",
    "PrefetchingLoader",
    "PreparedDataset",
    "SequenceInferer",
    "SkippingDataset",
    "SkippingEvaluator",
    "StudyMemory",
    "StudyReports",
    "TrainingProgress",
    "TrainingSummary",
    "ValidationPictures",
    "WeightsLoader",
    "case_sampler",
    "check_settings",
    "default_device",
    "distributed_network",
    "explain_input_errors",
    "init_process_group",
    "leave_process_group",
    "prepare_results_dir",
    "prepare_training_dir",
    "report_label_maps",
    "run_evaluator",
    "warn_of_unread_options",
]
