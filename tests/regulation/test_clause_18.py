"""Reg. 18: problems are told to the Centre, which collects them for the leadership."""

from regulation.test_commands import Console


def test_clause_18_problems_are_collected(tmp_path) -> None:
    """By any way, agreed to, settled with a result; listed by kind, and counted among today's evidence."""
    console = Console(tmp_path)
    assert console.run("init", "--yes", "--data-dir", str(tmp_path / "data"), "--user", "") == 0
    assert console.run("unit", "add", "CNTT", "Vụ CNTT") == 0
    words = ("request", "add", "problem", "--unit", "CNTT", "--asked-by", "Hoa")
    assert console.run(*words, "--channel", "telephone") == 2  # of what?
    assert "18" in console.err
    number = str(console.json(*words, "--channel", "telephone", "--note", "Thư đến chậm")["request_id"])
    assert console.run("request", "approve", number) == 0
    assert console.json("request", "list", "--state", "approved")[0]["subject"] == "Thư đến chậm"
    assert console.run("request", "done", number, "--result", " ") == 2
    assert console.run("request", "done", number, "--result", "Đã tăng số tiến trình") == 0
    shown = console.json("regulation", "show", "18")
    assert any(finding["what"]["en"] == "problems told" and finding["count"] == 1 for finding in shown["evidence"])
    (problem,) = console.json("request", "list", "--kind", "problem")
    assert problem["state"] == "done"
    assert console.json("request", "show", number)["result"] == "Đã tăng số tiến trình"
