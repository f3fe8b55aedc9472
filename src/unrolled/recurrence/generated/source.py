"""The C code of a layer: all steps of its cell's equations, products included."""

from collections.abc import Iterator, Sequence

from unrolled.recurrence.generated.equations import Equations, Product
from unrolled.recurrence.generated.segments import Segment

HEAD = """\
#include "generated.h"
"""


class Source:
    """C code for a cell's equations.

    Args:
        equations: of its step.
        padded: how many columns a product of so many has.

    Attributes:
        text: the code.
        tensors: what its functions take, in order.
    """

    def __init__(self, equations: Equations, padded: dict[int, int]) -> None:
        self.equations, self.padded = equations, padded
        self.tensors: list[str] = []
        self.functions: list[str] = []
        forward, backward = self._forward(), self._backward()
        declared = [
            f"    float *const {_c(name)} = work->tensors[{place}]; (void){_c(name)};"
            for place, name in enumerate(self.tensors)
        ]
        passes = [
            line
            for name, body in {"forward": forward, "backward": backward}.items()
            for line in (
                f"static void {name}_part(const Work *work, long part, long from, long to) {{",
                "    (void)part;",
                *declared,
                *body,
                "}",
                f"PASS({name})",
            )
        ]
        self.text = "\n".join([HEAD, *self.functions, *passes, ""])

    def _tensor(self, name: str) -> str:
        if name not in self.tensors:
            self.tensors.append(name)
        return _c(name)

    def _forward(self) -> list[str]:
        lines = [
            "    for (long t = 0, start = 0, before = 0; t < work->steps && "
            "work->sequences[t] > from; t++) {",
            "        const long end = work->sequences[t] < to ? work->sequences[t] : to;",
            "        const long slot = work->keeps ? start : 0; (void)slot;",
            *self._states_before(),
        ]
        for i, product in enumerate(self.equations.products):
            if product.state is None:
                read = self._segment(f"forward_{i}", {f"read {i}": self._read_row(i)}, {})
                lines += _rows(read)
                a = f"{self._tensor(f'read {i}')} + (slot + from) * {product.reads}"
            else:
                a = f"state_{product.state} + from * {product.reads}"
            wide = self.padded[product.gives]
            lines.append(
                f"        work->product(end - from, {product.reads}, {product.gives}, {a}, "
                f"{self._tensor(f'weight {i}')}, work->zeros, "
                f"{self._tensor(f'product {i}')} + (slot + from) * {wide});"
            )
        new = {
            f"new {k}": f"{self._tensor(f'states {k}')} + (start + r) * {size}"
            for k, size in enumerate(self.equations.states)
        }
        lines += _rows(self._segment("forward_new", new, {}))
        return [*lines, "        before = start;", "        start += work->sequences[t];", "    }"]

    def _backward(self) -> list[str]:
        equations = self.equations
        lines = [
            "    long start = 0;",
            "    for (long t = 0; t < work->steps; t++) start += work->sequences[t];",
            "    for (long t = work->steps - 1; t >= 0; t--) {",
            "        start -= work->sequences[t];",
            "        const long end = work->sequences[t] < to ? work->sequences[t] : to;",
            "        if (end <= from) continue;",
            "        const long slot = start; (void)slot;",
            "        const long before = t ? start - work->sequences[t - 1] : 0;",
            *self._states_before(),
        ]
        for k, size in enumerate(equations.states):
            given, to_new = self._tensor(f"given {k}"), self._tensor(f"to new {k}")
            carried = self._tensor(f"carried {k}")
            lines.append(
                f"        gather(end - from, {size}, {given} ? {given} + (start + from) * {size} "
                f": 0, {carried} + from * {size}, {to_new} + from * {size});"
            )
        for i, product in reversed([*enumerate(equations.products)]):
            outputs = {
                f"to product {i}": f"{self._tensor(f'to product {i}')} + (start + r) * "
                f"{product.gives}"
            }
            lines += _rows(self._segment(f"backward_{i}", outputs, {}))
            wide = self.padded[product.reads]
            lines.append(
                f"        work->product(end - from, {product.gives}, {product.reads}, "
                f"{self._tensor(f'to product {i}')} + (start + from) * {product.gives}, "
                f"{self._tensor(f'weight back {i}')}, work->zeros, "
                f"{self._tensor(f'to read {i}')} + from * {wide});"
            )
        last = {}
        if equations.projected_as is None:
            last["to z"] = f"{self._tensor('to z')} + (start + r) * {equations.projected}"
        for k, size in enumerate(equations.states):
            last[f"to state {k}"] = f"{self._tensor(f'carried {k}')} + r * {size}"
        vectors = {
            f"to vector {i}": f"{self._tensor(f'to vector {i}')} + part * {_numbers(equations, i)}"
            for i in range(len(equations.vectors))
        }
        return [*lines, *_rows(self._segment("backward_last", last, vectors)), "    }"]

    def _states_before(self) -> Iterator[str]:
        for k, size in enumerate(self.equations.states):
            first, states = self._tensor(f"first {k}"), self._tensor(f"states {k}")
            yield (
                f"        const float *state_{k} = t ? {states} + before * {size} : {first}; "
                f"(void)state_{k};"
            )

    def _read_row(self, i: int) -> str:
        return f"{self._tensor(f'read {i}')} + (slot + r) * {self.equations.products[i].reads}"

    def _segment(
        self, name: str, outputs: dict[str, str], added: dict[str, str]
    ) -> tuple[str, list[str]]:
        """Add a function that computes outputs for one sequence; its name, and what it is called
        with."""
        equations = self.equations
        rows = self._rows_of_inputs()
        # By place, since one tensor may be two inputs.
        arrays = {node: f"i_{place}" for place, node in enumerate(equations.inputs.values())}
        some = {at: equations.outputs[at] for at in outputs}
        found = {f"o_{n}": node for n, node in enumerate(some.values()) if node is not None}
        sums = {
            f"a_{n}": node
            for n, node in enumerate(equations.outputs[at] for at in added)
            if node is not None
        }
        body = Segment(arrays).write(found, sums)
        for n, (at, node) in enumerate(some.items()):
            if node is None:
                body.append(f"memset(o_{n}, 0, {self._width(at)} * sizeof(float));")
        text = "\n".join(body)
        taken = [
            (arrays[node], rows[at], "const ")
            for at, node in equations.inputs.items()
            if f"{arrays[node]}[" in text
        ]
        taken += [(f"o_{n}", row, "") for n, row in enumerate(outputs.values())]
        taken += [(f"a_{n}", row, "") for n, row in enumerate(added.values()) if f"a_{n}" in sums]
        arguments = ", ".join(f"{const}float *restrict {array}" for array, _, const in taken)
        self.functions += [f"static inline void {name}({arguments}) {{", *body, "}"]
        return name, [row for _, row, _ in taken]

    def _width(self, output: str) -> int:
        kind, _, number = output.rpartition(" ")
        equations = self.equations
        if output == "to z":
            return equations.projected
        if kind == "read":
            return equations.products[int(number)].reads
        if kind == "to product":
            return equations.products[int(number)].gives
        return equations.states[int(number)]

    def _rows_of_inputs(self) -> dict[str, str]:
        """Where row ``r`` of each input is."""
        equations = self.equations
        rows = {"z": f"{self._tensor('z')} + (start + r) * {equations.projected}"}
        for k, size in enumerate(equations.states):
            rows[f"state {k}"] = f"state_{k} + r * {size}"
            if equations.zoneout:
                rows[f"keep {k}"] = f"{self._tensor(f'keep {k}')} + (start + r) * {size}"
            rows[f"given {k}"] = f"{self._tensor(f'to new {k}')} + r * {size}"
        for i in range(len(equations.vectors)):
            rows[f"vector {i}"] = self._tensor(f"vector {i}")
        for i, product in enumerate(equations.products):
            rows[f"product {i}"] = self._row(f"product {i}", "slot + r", product, "gives")
            rows[f"to read {i}"] = self._row(f"to read {i}", "r", product, "reads")
        return rows

    def _row(self, tensor: str, row: str, product: Product, side: str) -> str:
        return f"{self._tensor(tensor)} + ({row}) * {self.padded[getattr(product, side)]}"


def _rows(segment: tuple[str, Sequence[str]]) -> list[str]:
    name, rows = segment
    return ["        for (long r = from; r < end; r++)", f"            {name}({', '.join(rows)});"]


def _numbers(equations: Equations, vector: int) -> int:
    count = 1
    for size in equations.given[equations.vectors[vector]]:
        count *= size
    return count


def _c(name: str) -> str:
    return "T_" + name.replace(" ", "_")
