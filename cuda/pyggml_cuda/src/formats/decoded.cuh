// What every other format becomes at load: a byte for a level, floats for the scales and minimums of groups.
#pragma once
#include "../planes.cuh"
#include "../scales.cuh"

template <int GROUP, bool MINIMUM>
struct Decoded {
    using Levels = Planes<8, 0, true>;
    using Scales = FloatScales<GROUP, MINIMUM>;
};
