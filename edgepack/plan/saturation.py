"""Which CPUs may add u8 x s8 products in 16 bits: edgepack's one place for this. targets/machine.py says it of the CPU it runs on.

onnxruntime adds pairs of such products in 16 bits (VPMADDUBSW) on x86 with AVX2 and without VNNI, and such a sum can saturate.
"""

from collections.abc import Collection

_VNNI = frozenset({"avx_vnni", "avx512_vnni"})
WAY_OUT = (
    "build the pack for such a CPU: --profile x86-edge-avx2, or your own profile whose isa has avx2, but neither avx_vnni nor "
    "avx512_vnni. Then its weights have 7 bits (reduce_range), and no sum saturates on any CPU"
)


def saturates_u8s8(arch: str, isa: Collection[str]) -> bool:
    """Without AVX2 the sums are in 32 bits: seen on emulated CPUs."""
    return "avx2" in isa and lacks_vnni(arch, isa)


def lacks_vnni(arch: str, isa: Collection[str]) -> bool:
    """x86 that has no instruction for such sums in 32 bits: whether one saturates is seen by running on it."""
    return arch == "x86_64" and _VNNI.isdisjoint(isa)
