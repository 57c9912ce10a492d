"""Scores, reports and tables, all computed from predictions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bootstrap": ["Difference", "group_difference", "paired_difference"],
        "calibration": [
            "calibration_of",
            "calibration_rows",
            "coverage_curve",
            "reliability",
        ],
        "calibration_sections": ["calibrated_answers", "cross_fitted"],
        "errors": ["list_errors"],
        "fold_results": ["FoldResult", "collect", "pool"],
        "fold_status": ["finished_folds", "fold_fault", "left_out_folds", "remedy"],
        "metrics": ["compute_scores", "confusion_matrix"],
        "predictions": [
            "PREDICTION_FILES",
            "prediction_table",
            "read_labels",
            "read_predictions",
            "write_parts",
            "write_predictions",
        ],
        "report": ["format_table", "read_report_info", "write_report"],
        "report_sections": ["corpus_table", "fold_table"],
        "results_csv": ["merge_results", "result_rows", "scores_by"],
        "task_columns": ["with_task_columns"],
        "task_scores": ["task_rows"],
        "task_sections": ["task_table"],
        "step_table": ["STEPS_FILE", "STEP_COLUMNS", "epoch_accuracies"],
    },
)
