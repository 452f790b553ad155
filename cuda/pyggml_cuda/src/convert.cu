// Rows of activations from a source, in the form that a product wants; 256 threads for 2048 columns of a token.
#include "dependency.cuh"
#include "forms.cuh"
#include "sources.cuh"

template <class Source, class Form>
__global__ void __launch_bounds__(256) convert(const SourceArguments source_arguments, const FormArguments form) {
    release_successor();
    wait_for_predecessor();
    const Source source(source_arguments, blockIdx.y);
    const int warp = blockIdx.x * 8 + threadIdx.x / 32, column = warp * 256 + threadIdx.x % 32 * 8;
    if (warp * 256 >= source_arguments.n_columns) return;
    float values[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    const bool inside = column < source_arguments.n_columns;
    if (inside) source.load(column, values);
    if (inside || Form::PADDED) Form::store(form, blockIdx.y, column, values);
}
