// How a kernel file offers its functions for every storage type on every SIMD target. Highway's HWY_EXPORT
// takes plain functions, not templates, so each target has one that returns a table of every type:
//
//   SimdTables<PoolTable, float, double> pool_tables() { return {table<float>(), table<double>()}; }
//
// and after the targets the table of one type is picked from it, by conversion to a base:
//
//   HWY_EXPORT(pool_tables);
//   template <class X>
//   PoolTable<X> table() {
//     return HWY_DYNAMIC_DISPATCH(pool_tables)();
//   }
//
// To ask for a type that has no table is an error of the compiler.
#pragma once

namespace sigma::kernels {

template <template <class> class Table, class... X>
struct SimdTables : Table<X>... {};

}  // namespace sigma::kernels
