"""The plots of a sweep, chosen by what was swept; a plot that would show nothing is left out."""

from collections.abc import Sequence

from resnet_lab.reporting.plots import search, swept
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.group_curves import group_curves, side_by_side
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.run_record import RunRecord


def chosen_plots(board: Leaderboard, trials: Sequence[RunRecord] = ()) -> list[Plot]:
    """Draw the plots that fit what was swept.

    `trials` are the jobs in the order of their start, where a search chose the values.
    """
    plots = [group_curves(board)]
    if trials and board.ranked:
        by_parameter = [search.against_parameter(board, trials, key) for key in board.keys]
        plots = [search.best_so_far(board, trials), *by_parameter, *plots]
    if len(board.ranked) > 1:
        numbers = [key for key in board.keys if board.numbers(key)]
        words = [key for key in board.keys if key not in numbers]
        match len(numbers), len(words):
            case 1, 0 if not trials:
                plots.append(swept.against_number(board, numbers[0]))
            case 0, 1 if not trials:
                plots.append(swept.against_category(board, words[0]))
            case 1, 1:
                plots.append(side_by_side(board, words[0], numbers[0]))
                plots.append(swept.against_number(board, numbers[0], words[0]))
                plots.append(swept.heat_map(board, words[0], numbers[0]))
            case 2, 0:
                plots.append(swept.heat_map(board, *numbers) or swept.landscape(board, *numbers))
            case 0, 2:
                plots.append(swept.heat_map(board, *words))
        if trials or len(board.keys) > 2:
            plots += [search.parallel_coordinates(board), search.importance(board)]
        plots.append(swept.time_against_metric(board))
    return [plot for plot in plots if plot is not None]
