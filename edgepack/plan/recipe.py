"""Recipe: what the user brings (model, data) and wishes (student, budgets, fixed choices). Pure data.

A setting is one field here: its type, its default and its `Setting`. The flags of `plan` and `build`, the keys of a recipe
file, the tables in the docs and the error messages follow from it.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from edgepack.core.fields import Count, CountOrNone
from edgepack.core.records import Stated
from edgepack.plan.coding import CodecName, StartName, VectorKind, WeightKind
from edgepack.plan.formats import FormatWish
from edgepack.plan.precision import PrecisionFacts, exported_precision, precision_facts
from edgepack.plan.profile import Budget, PrecisionName
from edgepack.plan.setting import BUILD, DATA, FILE, PRUNING, RUN, STUDENT, Searched, Setting, Settings, parse_fraction
from edgepack.plan.student_size import parse_student
from edgepack.plan.training_settings import Training
from edgepack.tasks import task_names

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[task_names()]
Importance = Literal["gradient", "activation", "magnitude", "remainder", "random"]
FactorKind = Literal["svd", "tensor"]
Scope = Literal["layer", "model"]  # the same share in each layer, or the least important anywhere


def _cuts_units(settings: Settings) -> bool:
    """Whether heads or neurons are ranked at all."""
    return bool(settings.get("prune_heads") or settings.get("prune_ffn"))


def _is_factored(settings: Settings) -> bool:
    return settings.get("factorize") is not None


def _facts(settings: Settings) -> PrecisionFacts:
    return precision_facts(settings.get("precision") or exported_precision())


def _rounds_products(settings: Settings) -> bool:
    """Whether activations are rounded too, and weights may lie on a coarse grid."""
    return bool(_facts(settings).coarse)


def _rounds_weights(settings: Settings) -> bool:
    return _facts(settings).is_integer


def _keeps_shape(settings: Settings) -> bool:
    """Whether layers can be cut by name: a student that is shrunk has a depth of its own."""
    return settings.get("student") in (None, "same")


def _is_coded(settings: Settings) -> bool:
    return any(settings.get(name) is not None for name in ("bits", "weights", "codec"))


def _is_trained_rounded(settings: Settings) -> bool:
    """Whether a training sees products as int8 rounds them, and no bits are asked for."""
    return bool(settings.get("quantization_aware")) and _rounds_products(settings) and settings.get("bits") is None


_A_SHARE = Searched(low=0.0, high=0.75, step=0.125)  # an eighth: what a head or a kernel's block of a small model is


def _read_share(value: Any, info: ValidationInfo) -> Any:
    return parse_fraction(value, info.field_name or "") if isinstance(value, str) else value


Share = Annotated[float, BeforeValidator(_read_share), Field(ge=0, lt=1)]  # 0.25, or "25%"


TRAIN_SPLIT, WHOLE_VOCABULARY = "data", "all"  # what `vocabulary` may be, beside the path of a file


class Columns(Stated):
    """Names of the data's columns. A column that is not named is guessed from the file, and shown."""

    text: Annotated[str | None, Setting("Name of the column with the text.", DATA, unset="guessed and shown", flag="--text-column")] = None
    text_pair: Annotated[
        str | None,
        Setting("Name of the column with the second text of a pair.", DATA, unset="guessed and shown", flag="--text-pair-column"),
    ] = None
    label: Annotated[str | None, Setting("Name of the column with the label.", DATA, unset="guessed and shown", flag="--label-column")] = (
        None
    )
    label_map: Annotated[
        str | None,
        Setting(
            "The model's name for each label of the data: neg=NEGATIVE,pos=POSITIVE. Names with a comma: JSON.",
            DATA,
            unset="the names are equal",
            flag="--label-map",
        ),
    ] = None

    def named(self) -> dict[str, str | None]:
        """The columns alone, by the field that is read from them."""
        return self.model_dump(exclude={"label_map"})


NO_COLUMNS = Columns()
DEFAULT_LENGTH = 128  # where a model has fewer positions, texts are as long as those


class Recipe(Stated):
    """model: a folder or hub id. Whatever is None is chosen by the plan, or read from the model and the data."""

    model: Annotated[str, Setting("Model folder or hub id.", BUILD, unset="the demo model")] = ""
    revision: Annotated[
        str | None,
        Setting("Of a hub model: commit, tag or branch. A pack states the commit.", BUILD, unset="the newest"),
    ] = None
    base: Annotated[
        str | None,
        Setting(
            "If the model is a LoRA adapter: the model that it was trained on. Of a hub model, @REVISION asks for a commit, tag or branch.",
            BUILD,
            unset="the model is not an adapter",
        ),
    ] = None
    task: Annotated[TaskName | None, Setting("Task of the model.", BUILD, unset="read from the model's config")] = None
    data: Annotated[
        str | None,
        Setting("File, folder with train, dev and test files, or hub dataset id.", DATA, unset="no data; nothing is trained or scored"),
    ] = None
    vocabulary: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        Setting(
            "Keep only the tokens that certain texts need: `data` means the texts of the train split and those without labels, and what "
            "the dev split shows of others; a path means those and the texts of that file; `all` keeps every token.",
            PRUNING,
            unset="all; data where the file's budget or a share of the teacher needs it",
            searched=Searched(values=(None, TRAIN_SPLIT)),
        ),
    ] = None
    student: Annotated[
        str | None,
        Setting(
            "Size of the student: 13M (parameters), 50% (of the teacher), 3x384 (layers x hidden width) or same.",
            STUDENT,
            unset="the one most like its teacher within the budgets",
            searched=Searched(),  # depth and width, each a choice of its own
        ),
    ] = None
    prune_heads: Annotated[
        Share | None,
        Setting(
            "Cut this share of the attention heads, such as 25%.",
            PRUNING,
            unset="only what the budgets need",
            parse=parse_fraction,
            searched=_A_SHARE,
        ),
    ] = None
    prune_ffn: Annotated[
        Share | None,
        Setting("Cut this share of the FFN neurons, such as 25%.", PRUNING, unset="none", parse=parse_fraction, searched=_A_SHARE),
    ] = None
    prune_layers: Annotated[
        str | None,
        Setting(
            "Cut whole layers: 33% (those that change their input least), alternate (every second), or the layers to keep: 0,2,5.",
            PRUNING,
            unset="none",
            searched=Searched(values=(None, "33%", "alternate"), by_itself=False, matters=_keeps_shape),
        ),
    ] = None
    drop_attention: Annotated[
        CountOrNone | None,
        Setting(
            "Remove the attention of this many layers, beginning with the last layer. Their FFNs stay.",
            PRUNING,
            unset="none",
            searched=Searched(values=(None, 1, 2), by_itself=False),
        ),
    ] = None
    prune_weights: Annotated[
        Share | None,
        Setting(
            "Set this share of the weights to zero, such as 50%. It makes no runtime faster.",
            PRUNING,
            unset="none",
            parse=parse_fraction,
            searched=Searched(low=0.0, high=0.75, step=0.125, by_itself=False),
        ),
    ] = None
    factorize: Annotated[
        Annotated[Share, Field(gt=0)] | None,
        Setting(
            "Make two smaller products of linear layers and embeddings, with this share of their weights less, such as 50%. Layers that "
            "the outputs depend on most keep more.",
            PRUNING,
            unset="none",
            parse=parse_fraction,
            searched=Searched(values=(None, 0.25, 0.5), by_itself=False),
        ),
    ] = None
    factorize_by: Annotated[
        FactorKind | None,
        Setting(
            "What makes the two products: `svd` of a matrix as the texts use it, or `tensor`, a network of two cores, which computes more.",
            PRUNING,
            unset="svd",
            searched=Searched(by_itself=False, matters=_is_factored),
        ),
    ] = None
    importance: Annotated[
        Importance | None,
        Setting(
            "How heads and neurons are ranked: the least important are cut.",
            PRUNING,
            unset="what keeps most for the task",
            searched=Searched(by_itself=False, matters=_cuts_units),
        ),
    ] = None
    scope: Annotated[
        Scope | None,
        Setting(
            "With layer, each layer loses the same share. With model, the least important go, in whichever layer they are.",
            PRUNING,
            unset="model; layer if a student is distilled too",
            searched=Searched(by_itself=False, matters=_cuts_units),
        ),
    ] = None
    refit: Annotated[
        bool,
        Setting(
            "Correct the remaining weights for what was cut, by least squares. It takes seconds.",
            PRUNING,
            searched=Searched(by_itself=False, matters=_cuts_units),
        ),
    ] = False
    iterations: Annotated[
        int,
        Field(ge=1, le=20),
        Setting(
            "Prune and recover in this many rounds. Each round cuts a part.",
            PRUNING,
            searched=Searched(values=(1, 2, 4), by_itself=False, matters=_cuts_units),
        ),
    ] = 1
    quantization_aware: Annotated[
        bool,
        Setting(
            "Distil once more, with weights and activations as int8 will round them, or a text-generation model's weights as int4 will: "
            "in the last epochs, or in all of them where nothing else is trained.",
            STUDENT,
            searched=Searched(by_itself=False, matters=_rounds_products),
        ),
    ] = False
    precision: Annotated[
        PrecisionName | None,
        Setting("Precision of the weights.", FILE, unset="the widest precision that meets the budgets", searched=Searched()),
    ] = None
    activations: Annotated[
        Literal["dynamic", "static"] | None,
        Setting(
            "Scales of int8's activations: dynamic takes them from each text, static from calibration texts.",
            FILE,
            unset="dynamic",
            searched=Searched(by_itself=False, matters=_rounds_products),
        ),
    ] = None
    prepack: Annotated[
        bool | None,
        Setting(
            "Pack the matrices when the session opens: loading is slower, and running is faster.",
            FILE,
            unset="yes, unless that breaks the load budget",
            searched=Searched(by_itself=False),
        ),
    ] = None
    weight_cache: Annotated[
        bool | None,
        Setting(
            "Keep the packed weights on the device's disk from the first start on: later starts map them. Python and Linux modules do so.",
            FILE,
            unset="no; in TFLite yes for decoders, and where load is over its budget",
            searched=Searched(by_itself=False),
        ),
    ] = None
    format: Annotated[
        FormatWish | None,
        Setting(
            "Format of the model file. `both` builds a pack of each; `auto` builds both and ships the better.",
            FILE,
            unset="ONNX where the profile runs it",
            searched=Searched(values=("onnx", "tflite"), by_itself=False),
        ),
    ] = None
    batch: Annotated[
        bool,
        Setting(
            "Let the ONNX file read several texts at once, padded to the longest. Without it, the file reads one text at a time, which is "
            "faster.",
            FILE,
        ),
    ] = False
    smoothing: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        Setting(
            "How much of int8's large activations moves into the weights, from 0 to 1 (SmoothQuant).",
            FILE,
            unset="chosen on train texts",
            searched=Searched(low=0.0, high=1.0, step=0.25, by_itself=False, matters=_rounds_products),
        ),
    ] = None
    sensitive: Annotated[
        CountOrNone | None,
        Setting(
            "Keep this many groups of matrix products in a wider precision, those that lose most "
            "by rounding: fp32 beside int8, 8 bits beside int4.",
            FILE,
            unset="0; more if the score drops too far",
            searched=Searched(values=(0, 1, 2), by_itself=False, matters=_rounds_weights),
        ),
    ] = None
    embedding_bits: Annotated[
        Literal[8, 4] | None,
        Setting(
            "Bits of the embedding tables' weights.",
            FILE,
            unset="8; 4 where the budgets need it",
            searched=Searched(matters=_rounds_weights),
        ),
    ] = None
    bits: Annotated[
        Annotated[float, Field(ge=1, le=7.5)] | None,
        Setting(
            "Round int8 weights to a grid so coarse that a weight takes this many bits in the file, such as 3.5. They are coded there, and "
            "run as int8 once they are decoded.",
            FILE,
            unset="8; fewer where the file's budget needs it",
            searched=Searched(values=(None, 5.0, 4.0, 3.5, 3.0), by_itself=False, matters=_rounds_products),
        ),
    ] = None
    weights: Annotated[
        WeightKind | None,
        Setting(
            "Train weights of few values, times a scale for each channel: `ternary` is -1, 0 and 1, `binary` is -1 and 1. They are coded "
            "in the file, and run as int8 once they are decoded. It needs --quantization-aware, and loses quality.",
            FILE,
            unset="as many values as int8 has",
            searched=Searched(values=(None, "ternary", "binary"), by_itself=False, matters=_is_trained_rounded),
        ),
    ] = None
    codec: Annotated[
        CodecName | None,
        Setting(
            "Code the weights in the file: `deflate`, which Python, Java and browsers decode with what they ship, or `zstd`, which decodes "
            "faster and needs a library.",
            FILE,
            unset="deflate where weights are coded",
            searched=Searched(values=(None, "deflate", "zstd"), by_itself=False),
        ),
    ] = None
    start: Annotated[
        StartName | None,
        Setting(
            "How a device starts with coded weights: `stream` decodes them into memory at each start, `expand` once into a cache on the "
            "device.",
            FILE,
            unset="what loads faster within the budgets",
            searched=Searched(by_itself=False, matters=_is_coded),
        ),
    ] = None
    dimensions: Annotated[
        Count | None,
        Setting(
            "Keep the first numbers of a text's vector, this many. The model must be trained for it (Matryoshka).",
            BUILD,
            unset="all of them",
        ),
    ] = None
    vectors: Annotated[
        VectorKind | None,
        Setting(
            "Give a text's vector as codes too: `int8` has 8 bits for each number, `binary` 1 bit. The modules search in them.",
            FILE,
            unset="32 bits for each number",
        ),
    ] = None
    length: Annotated[Count, Setting("Sequence length, in tokens, that the latency budget is for.", BUILD)] = DEFAULT_LENGTH
    max_length: Annotated[
        Count | None, Setting("Longest sequence length in tokens. A longer text is cut.", BUILD, unset="the model's own limit")
    ] = None
    budget: Budget = Field(default_factory=Budget)
    training: Training = Field(default_factory=Training)
    aggregation: Annotated[
        Literal["none", "simple", "first", "average", "max"],
        Setting("How the tags of tokens become entities, as transformers' aggregation_strategy. Only for token-classification.", FILE),
    ] = "first"
    words: Annotated[
        Literal["tokenizer", "white-space", "characters"],
        Setting("What splits a text into words. Only for token-classification.", FILE),
    ] = "tokenizer"
    unlabelled: Annotated[
        str | None, Setting("File of texts without labels. The student learns on them and on the data.", DATA, unset="none")
    ] = None
    columns: Columns = NO_COLUMNS
    seed: Annotated[CountOrNone, Setting("Seed of every random choice.", RUN)] = 0
    trust_remote_code: Annotated[bool, Setting("Run Python code that the model folder brings. Read that code first.", RUN)] = False

    @property
    def prunes(self) -> bool:
        """Whether anything is cut beside what a smaller student leaves out."""
        return any((self.prune_heads, self.prune_ffn, self.prune_layers, self.drop_attention, self.prune_weights, self.factorize))

    @property
    def can_train(self) -> bool:
        """Whether a student could learn anything: there are texts, and the user has not forbidden every pass over them."""
        return self.data is not None and self.training.epochs != 0

    @property
    def cuts_vocabulary(self) -> bool:
        """Whether the user asks for a cut. Where this is left open, the plan decides."""
        return self.vocabulary not in (None, WHOLE_VOCABULARY)

    @field_validator("student")
    @classmethod
    def _student_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            parse_student(value)
        return value
