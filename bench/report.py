"""Results as JSON lines on standard output, and the table of medians against the floors at the end."""

import json
import statistics
import sys


class Report:
    def __init__(self):
        self.rows = []
        self.checks = []

    def add(self, result, **extra):
        """Prints one result as a JSON line and keeps it for the medians."""
        row = {**result, **extra}
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        return row

    def matching(self, **match):
        return [r for r in self.rows if all(r.get(k) == v for k, v in match.items())]

    def values(self, field, **match):
        return [r[field] for r in self.matching(**match) if field in r]

    def median(self, field, **match):
        values = self.values(field, **match)
        return statistics.median(values) if values else None

    def check(self, text, value, limit, at_least, target=None, unit="", bound=None, note=""):
        """One line of the verdict: `value` must be at least (or at most) `limit`. `bound` is what the
        machine allowed in the same runs, (name, share of it that was reached, share wanted): a floor
        that is missed counts as kept where that share is reached. `note` is printed behind it."""
        passed = value is not None and (value >= limit if at_least else value <= limit)
        check = {"floor": text, "value": value, "limit": limit, "at_least": at_least, "target": target,
                 "unit": unit, "passed": passed, "note": note}
        if bound is not None:
            name, share, wanted = bound
            binds = not passed and share >= wanted
            check.update(bound=name, bound_share=share, bound_wanted=wanted, bound_binds=binds,
                         passed=passed or binds)
        self.checks.append(check)

    def table(self, title, columns, rows):
        """A table for people on standard error, so that standard output stays JSON."""
        lines = [columns] + [[show(cell) for cell in row] for row in rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        print(f"\n{title}", file=sys.stderr)
        for line in lines:
            cells = [line[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
            print("  " + "  ".join(cells), file=sys.stderr)

    def verdict(self):
        """Prints PASS or FAIL per floor; returns the exit status."""
        print("\nfloors (medians)", file=sys.stderr)
        for check in self.checks:
            unit = check["unit"]
            wanted = f"{'>=' if check['at_least'] else '<='} {show(check['limit'])}{unit}"
            if check["target"] is not None:
                wanted += f" (target {show(check['target'])}{unit})"
            if "bound" in check:
                wanted += (f", or >= {check['bound_wanted']:.0%} of {check['bound']}: {check['bound_share']:.0%}" +
                           ", this limit of the machine binds" * check["bound_binds"])
            if check["note"]:
                wanted += f" ({check['note']})"
            print(f"  {'PASS' if check['passed'] else 'FAIL'}  {check['floor']}: {show(check['value'])}{unit}, "
                  f"wanted {wanted}", file=sys.stderr)
            print(json.dumps({"bench": "verdict", **check}), flush=True)
        return 0 if all(check["passed"] for check in self.checks) else 1


def show(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
