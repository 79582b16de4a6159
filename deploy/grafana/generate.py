"""Writes the dashboards as Grafana reads them, out of the *.yml beside this file."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
NAMES = ("service", "emotions", "steering")
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "none"},
    "bargauge": {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"},
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    # Each series is a row of its own; blue is below the reference, red above.
    "heatmap": {
        "calculate": False,
        "cellGap": 0,
        "color": {"mode": "scheme", "scheme": "RdBu", "reverse": True, "min": -2, "max": 2},
        "yAxis": {"axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "legend": {"show": True},
    },
}
_INSTANT = ("stat", "bargauge")


def _variable(name: str, label: str, query: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        **more,
    }


_ALL = {"multi": True, "includeAll": True, "current": {"text": ["All"], "value": ["$__all"]}}
_FEW = {key: ["calm", "desperate"] for key in ("text", "value")}
_TENANTS = 'label_values(vagus_tenant_turns_total{job="$job"}, tenant)'
_CONCEPTS = 'label_values(vagus_concept_turn_mean_z_count{job="$job"}, concept)'
VARIABLES = (
    _variable("job", "Job", "label_values(vagus_build_info, job)"),
    _variable("tenant", "Tenant", _TENANTS, **_ALL),
    _variable("concept", "Concepts of the map", _CONCEPTS, **_ALL),
    # All of them would be hundreds of lines.
    _variable("few", "Chosen concepts", _CONCEPTS, multi=True, current=_FEW),
)


def dashboard(name: str) -> dict[str, Any]:
    """The model of a dashboard, as Grafana reads it."""
    source = yaml.safe_load((HERE / f"{name}.yml").read_text())
    panels = _placed(source["panels"])
    used = json.dumps(panels)
    return {
        "uid": f"vagus-{name}",
        "title": source["title"],
        "tags": ["vagus"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Vagus", "tags": ["vagus"], "asDropdown": True}],
        "templating": {"list": [v for v in VARIABLES if f"${v['name']}" in used]},
        "panels": panels,
    }


def _placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fills the grid row by row."""
    models: list[dict[str, Any]] = []
    x = y = height = 0
    for panel in panels:
        w, h = panel["size"]
        if x + w > WIDTH:
            x, y, height = 0, y + height, 0
        place = {"x": x, "y": y, "w": w, "h": h}
        models.append({"id": len(models) + 1, "gridPos": place, **_model(panel)})
        x, height = x + w, max(height, h)
    return models


def _model(panel: dict[str, Any]) -> dict[str, Any]:
    kind = panel["kind"]
    low, high = panel.get("bounds", (None, None))
    bounds = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    defaults = {"unit": panel.get("unit", "short"), "noValue": "no traffic", **bounds}
    if kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "auto"}
    if kind == "bargauge":
        defaults["color"] = {"mode": "continuous-BlPu"}
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["text"],
        "datasource": DATASOURCE,
        "targets": [_target(i, query, kind) for i, query in enumerate(panel["queries"])],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[kind],
    }


def _target(i: int, query: dict[str, str], kind: str) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + i),
        "datasource": DATASOURCE,
        "expr": query["expr"],
        "legendFormat": query.get("legend", "__auto"),
        "instant": kind in _INSTANT,
        "range": kind not in _INSTANT,
    }


def main() -> int:
    """Returns the exit code: 1 when `--check` finds a file that is not as generated."""
    stale = 0
    for name in NAMES:
        path = HERE / "dashboards" / f"vagus_{name}.json"
        text = json.dumps(dashboard(name), indent=2) + "\n"
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path.name} is not as generated: run deploy/grafana/generate.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
