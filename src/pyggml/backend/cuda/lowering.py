"""From operations of a graph to launches: what is fused, and in which forms values pass from one to the next."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from pyggml.backend import graph as g
from pyggml.backend.cuda.activations import Activations, Pending
from pyggml.backend.cuda.cache import DeviceCache
from pyggml.backend.cuda.exchange import Exchange
from pyggml.backend.cuda.inputs import StepInputs
from pyggml.backend.cuda.memory import Addresses, Buffer, Operation
from pyggml.backend.cuda.products import input_form, multiply
from pyggml.backend.cuda.weights import cuda_weight
from pyggml_cuda import attention, device, largest, rope, rows, sections
from pyggml_cuda.attention import AttentionShape
from pyggml_cuda.convert import Source
from pyggml_cuda.launch import Launch
from pyggml_cuda.matmul import MAX_MATRICES


class Lowering:
    """Turns the operations of one graph into launches, for one batch shape."""

    def __init__(
        self,
        cache: DeviceCache,
        inputs: StepInputs,
        exchange: Exchange,
        constants: Callable[[Any], int],
        n_rows: Mapping[g.Rows, int],
        shape: AttentionShape,
    ) -> None:
        self.operations: list[Operation] = []
        self._values = Activations(self.operations)
        self._cache = cache
        self._inputs = inputs
        self._exchange = exchange
        self._constants = constants
        self._n_rows = n_rows
        self._shape = shape
        self._turned: dict[int, g.Rotate] = {}
        self._lower: dict[type[g.Node], Callable[[Any], None]] = {
            g.Embed: self._first_rows,
            g.Receive: self._first_rows,
            g.Elsewhere: self._elsewhere,
            g.PlaceGiven: self._place_given,
            g.RopeAngles: self._rope_angles,
            g.SectionAngles: self._section_angles,
            g.RMSNorm: self._rms_norm,
            g.Rotate: self._rotate,
            g.Attention: self._attention,
            g.SwiGLU: self._swiglu,
            g.Add: self._add,
            g.SelectOutputs: self._select_outputs,
        }

    def lower(self, nodes: Sequence[g.Node]) -> Buffer:
        """Add the operations of all nodes; returns the buffer of the last one's result."""
        n_uses = _count_uses(nodes)
        position = 0
        while position < len(nodes):
            node = nodes[position]
            if not self._n_rows[node.output.rows]:
                position += 1
            elif isinstance(node, g.Linear):
                position += self._linear(nodes[position:], n_uses)
            else:
                self._lower[type(node)](node)
                position += 1
        result = nodes[-1].output
        return self._values.floats(result, self._n(result)) if self._n(result) else Buffer(0, address=0)

    def rank(self, x: Buffer, value: g.Value, n_kept: int) -> Buffer:
        """Add the operations that find the largest of each row of a value at `x`; returns the buffer of the values
        (n_rows, n_kept) and, behind them, their places."""
        n, n_columns = self._n(value), value.n_columns
        maxima, out = Buffer(largest.maxima_bytes(n, n_columns)), Buffer(8 * n * n_kept)
        self._launch((x,), (maxima,), lambda at: largest.group_maxima(at(x), at(maxima), n, n_columns))
        self._launch(
            (x, maxima),
            (out,),
            lambda at: largest.largest(at(x), at(maxima), at(out), at(out) + 4 * n * n_kept, n, n_columns, n_kept),
        )
        return out

    def _n(self, value: g.Value) -> int:
        return self._n_rows[value.rows]

    def _float_buffer(self, value: g.Value) -> Buffer:
        """Room for a value, which is going to be there as floats."""
        buffer = Buffer(value.row_bytes * self._n(value))
        self._values.set_floats(value, buffer)
        return buffer

    def _launch(self, reads: Sequence[Buffer], writes: Sequence[Buffer], build: Callable[[Addresses], Launch]) -> None:
        self.operations.append(Operation(tuple(reads), tuple(writes), lambda at: device.launching(build(at))))

    def _first_rows(self, node: g.Embed | g.Receive) -> None:
        self._values.set_floats(node.output, Buffer(0, address=self._inputs.rows(node.output)))

    def _elsewhere(self, node: g.Elsewhere) -> None:
        sizes = [(self._n(value), value.n_columns) for value in (*node.operands, node.output)]
        operands = tuple(self._values.floats(value, self._n(value)) for value in node.operands)
        out, inputs, exchange = self._float_buffer(node.output), self._inputs, self._exchange

        def build(at: Addresses) -> device.Action:
            return exchange.asking(node.executable, inputs, sizes, [at(each) for each in operands], at(out))

        self.operations.append(Operation(operands, (out,), build, capturable=False))

    def _place_given(self, node: g.PlaceGiven) -> None:
        # The embeddings come with the step, and what is given is among them.
        self._values.set_floats(node.output, self._values.floats(node.x, self._n(node.x)))

    def _section_angles(self, node: g.SectionAngles) -> None:
        n, r, out = self._n(node.output), node.rope, self._float_buffer(node.output)
        parameters = sections.SectionAngles(r.n_pairs, r.theta_scale, r.frequency_scale, r.sections)
        positions = self._inputs.section_positions
        self._launch((), (out,), lambda at: sections.section_angles(parameters, positions, at(out), n))

    def _rope_angles(self, node: g.RopeAngles) -> None:
        n, r, out = self._n(node.output), node.rope, self._float_buffer(node.output)
        parameters = rope.Angles(
            n_pairs=r.n_pairs,
            factors=self._constants(r.factors),
            theta_scale=r.theta_scale,
            frequency_scale=r.frequency_scale,
            extrapolation=r.extrapolation,
            amplitude=r.amplitude,
            first=r.ramp[0],
            last=r.ramp[1],
        )
        self._launch((), (out,), lambda at: rope.angles(parameters, self._inputs.positions, at(out), n))

    def _rms_norm(self, node: g.RMSNorm) -> None:
        x, weight = self._values.floats(node.x, self._n(node.x)), cuda_weight(node.weight).address
        columns, epsilon = node.x.n_columns, node.epsilon
        pending = Pending((x,), lambda at: Source("RMSNorm", columns, at(x), weight, epsilon=epsilon))
        self._values.set_pending(node.output, pending)

    def _swiglu(self, node: g.SwiGLU) -> None:
        gate, up = (self._values.floats(each, self._n(each)) for each in (node.gate, node.up))
        columns = node.output.n_columns
        pending = Pending((gate, up), lambda at: Source("SwiGLU", columns, at(gate), at(up)))
        self._values.set_pending(node.output, pending)

    def _linear(self, nodes: Sequence[g.Node], n_uses: Mapping[int, int]) -> int:
        """The product at the head of these nodes, with those beside it that share its input, or the sum behind it;
        returns how many nodes that were."""
        group = _alike(nodes)
        first, n = group[0], self._n(group[0].x)
        x = self._values.form(first.x, input_form(first, n), n)
        sum_node = nodes[1] if len(group) == 1 and len(nodes) > 1 else None
        addend = None
        if isinstance(sum_node, g.Add) and n_uses[first.output.index] == 1 and first.output in sum_node.inputs:
            other = sum_node.left if sum_node.right == first.output else sum_node.right
            addend = self._values.floats(other, n)
            outputs = [self._float_buffer(sum_node.output)]
        else:
            outputs = [self._float_buffer(node.output) for node in group]
        self.operations.append(multiply(group, x, addend, outputs, n))
        return len(group) + (addend is not None)

    def _rotate(self, node: g.Rotate) -> None:
        # Queries and keys are turned on their way into attention.
        self._turned[node.output.index] = node

    def _attention(self, node: g.Attention) -> None:
        n, shape, cache = self._n(node.output), self._cache.shape, self._cache
        turned = [self._turned.get(each.index) for each in (node.queries, node.keys)]
        queries, keys = turned
        if queries is None or keys is None or queries.angles != keys.angles:
            raise TypeError("a CUDA plan needs queries and keys that are turned by the same angles")
        q, k, v, angles = (self._values.floats(each, n) for each in (queries.x, keys.x, node.values, keys.angles))
        r = keys.rope
        rotations = cache.keys.rotation, cache.values.rotation
        sizes = shape.key_size, shape.value_size
        heads = rope.Heads(node.n_heads, shape.n_kv_heads, *sizes, r.n_pairs, r.halves, *rotations)
        both, table = (cache.keys.rows(node.layer), cache.values.rows(node.layer)), self._inputs.table
        self._launch(
            (q, k, v, angles),
            (q,),
            lambda at: rope.turn_and_store(heads, at(q), at(k), at(v), at(angles), both, table, n),
        )
        cut = self._shape
        per_query = 4 * n * node.n_heads * cut.n_splits
        sums, states = Buffer(per_query * shape.value_size), Buffer(per_query * 2)
        tiles = self._inputs.tiles
        self._launch(
            (q,),
            (sums, states),
            lambda at: attention.attend(
                cut,
                node.n_heads,
                shape.n_kv_heads,
                sizes,
                node.scale,
                (at(q), at(sums), at(states), tiles),
                both,
                table,
                device.shared_limit(),
            ),
        )
        columns = node.output.n_columns
        merge = self._inputs.positions, 0.0, shape.value_size, cut.n_splits, attention.SPLIT_SIZE, cache.values.rotation
        pending = Pending((sums, states), lambda at: Source("Splits", columns, at(sums), at(states), *merge))
        self._values.set_pending(node.output, pending)

    def _add(self, node: g.Add) -> None:
        n = self._n(node.output)
        left, right = (self._values.floats(each, n) for each in (node.left, node.right))
        out = self._float_buffer(node.output)
        self._launch(
            (left, right), (out,), lambda at: rows.add(at(left), at(right), at(out), n * node.output.n_columns)
        )

    def _select_outputs(self, node: g.SelectOutputs) -> None:
        x, out, n = self._values.floats(node.x, self._n(node.x)), self._float_buffer(node.output), self._n(node.output)
        self._launch(
            (x,), (out,), lambda at: rows.select_rows(at(x), self._inputs.outputs, at(out), n, node.x.n_columns)
        )


def _count_uses(nodes: Sequence[g.Node]) -> dict[int, int]:
    counts: dict[int, int] = {node.output.index: 0 for node in nodes}
    for node in nodes:
        for value in node.inputs:
            counts[value.index] += 1
    return counts


def _alike(nodes: Sequence[g.Node]) -> list[g.Linear]:
    """The products at the head of the nodes that share an input and a format, as many as one launch takes."""
    first = nodes[0]
    if not isinstance(first, g.Linear):
        raise TypeError("no product")
    form, x = cuda_weight(first.weight).format, first.x

    def fits(node: g.Node) -> bool:
        return isinstance(node, g.Linear) and node.x == x and cuda_weight(node.weight).format == form

    return [node for node in takewhile(fits, nodes[:MAX_MATRICES]) if isinstance(node, g.Linear)]
