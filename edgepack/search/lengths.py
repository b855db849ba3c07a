"""How long the packs of the front are trained, and how many there are: as the time allows, and asked again before each pack."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgepack.search.candidates import student_signature
from edgepack.search.finals import Final, with_steps
from edgepack.search.rungs import full_texts
from edgepack.search.tries import Tries

FEWEST_PACKS = 5
PACKS_SHARE = 0.9  # of the time that is left goes to the packs; the rest to the page


@dataclass
class Lengths:
    """steps: of the students that were trained already, by their signatures: another file of one keeps its length.

    begun: signatures of packs whose building has begun. spare: finals that there was no time for at first.
    """

    tries: Tries
    steps: dict[str, int | None] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    spare: list[Final] = field(default_factory=list)

    @property
    def fewest(self) -> int:
        return min(FEWEST_PACKS, self.tries.wish.packs)

    def options(self) -> list[int | None]:
        """Steps of a full training at most: the user's wish first, then halves of it down to a short trial's."""
        base, rung = self.tries.maker.space.base, self.tries.rungs[0]
        most = full_texts(base, len(self.tries.bench.materials.whole.rows("train"))) // base.training.batch_rows
        if base.training.training_steps is not None:
            most = min(most, base.training.training_steps)
        steps, lengths = most, [base.training.training_steps]
        while steps // 2 >= max(1, rung.texts // base.training.batch_rows):
            steps //= 2
            lengths.append(steps)
        return lengths

    def short(self) -> int | None:
        """The steps that a pack is sure of: the shortest training but one, or the only one."""
        lengths = self.options()
        return lengths[max(0, len(lengths) - 2)]

    def selection(self, finals: Sequence[Final]) -> list[Final]:
        """As many of the finals, trained as long, as there is time for: not under the fewest, as long as other files can fill up."""
        sizes = pack_options(len(finals), min(self.fewest, len(finals)), self.options())
        count, steps = next(((count, steps) for count, steps in sizes if self._fits(finals[:count], steps)), sizes[-1])
        self.spare = list(finals[count:])
        return [with_steps(final, steps) for final in [*finals[:count], *self._other_files(finals[:count], ())]]

    def again(self, waiting: Sequence[Final], built: Sequence[Final]) -> list[Final]:
        """The finals that wait, shortened where the time has become short. Those for which even that is too long are left out.

        The first one is always built, and other files of what is built fill up to the fewest: they take seconds. Where all goes faster
        than it was expected to, more packs join.
        """
        if self.tries.clock.minutes is None:
            return list(waiting)
        fewest = max(0 if built else 1, min(self.fewest - len(built), len(waiting)))
        sizes = pack_options(len(waiting), fewest, self.options())
        nothing = (0 if built else 1, self.options()[-1])
        count, steps = next(((count, steps) for count, steps in sizes if self._fits(waiting[:count], steps)), nothing)
        staying = list(waiting[:count])
        lacking = max(0, self.fewest - len(built) - len(staying))
        staying += [final for final in waiting[count:] if self.is_trained(final)][:lacking]
        if built and len(staying) == len(waiting):
            least = built[0].candidate.recipe.training.training_steps
            while self.spare and self._fits([*staying, self.spare[0]], least):
                staying.append(with_steps(self.spare.pop(0), least))
        staying += self._other_files(built, staying) if built else []
        return [self._sized(final, steps) for final in staying]

    def begins(self, final: Final) -> None:
        """Its building begins: no other file of its kind takes its place, should it fail."""
        self.begun.add(final.candidate.signature)

    def ends(self, final: Final) -> None:
        """Its student is trained now: other files of it keep the length."""
        self.steps.setdefault(student_of(final), final.candidate.recipe.training.training_steps)

    def is_trained(self, final: Final) -> bool:
        """Whether a pack of the same student was built."""
        return student_of(final) in self.steps

    def lengthened(self, built: Sequence[Final]) -> list[Final]:
        """All files of one student, to be trained longer; empty where the time that is left is too short for that.

        built: packs whose trainings still improved when they ended. The students with the fewest steps come first: as many of them as
        can be get more, and then as many steps as the time allows for all of these.
        """
        first = {student_of(final): final for final in reversed(built)}
        steps_of = {name: steps for name in first if (steps := self.steps.get(name)) is not None}
        least = min(steps_of.values(), default=0)
        shortest = [name for name, steps in reversed(steps_of.items()) if steps == least]
        longer = [steps for steps in self.options() if steps is None or steps > least] if shortest else []
        for count in range(len(shortest), 0, -1):
            files = [final for final in built if student_of(final) in shortest[:count]]
            for steps in longer:
                if self._packs_s([first[name] for name in shortest[:count]], steps, len(files)) <= self._free_s:
                    del self.steps[shortest[0]]
                    return [with_steps(final, steps) for final in files if student_of(final) == shortest[0]]
        return []

    def _sized(self, final: Final, steps: int | None) -> Final:
        """Longer than it was meant to be, too, where the packs before it took less time than was expected."""
        return with_steps(final, self.steps.get(student_of(final), steps))

    def _fits(self, finals: Sequence[Final], steps: int | None) -> bool:
        return self.needed_s(finals, steps) <= self._free_s

    @property
    def _free_s(self) -> float:
        return self.tries.clock.left_s * PACKS_SHARE

    def needed_s(self, finals: Sequence[Final], steps: int | None) -> float:
        """What these packs take, each student trained once; those that are trained already not at all."""
        new = {student_of(final): final for final in finals if not self.is_trained(final)}
        return self._packs_s(list(new.values()), steps, len(finals))

    def _packs_s(self, students: Sequence[Final], steps: int | None, packs: int) -> float:
        """What so many packs of these students take, each student trained once."""
        base = self.tries.maker.space.base
        texts = full_texts(base, len(self.tries.bench.materials.whole.rows("train")))
        if steps is not None:
            texts = min(texts, steps * base.training.batch_rows)
        return self.tries.clock.packs_s([self.tries.work(final.candidate.plan, texts) for final in students], packs)

    def _other_files(self, students: Sequence[Final], others: Sequence[Final]) -> list[Final]:
        """Other files of these students, as many as the fewest packs lack: they need no training of their own."""
        finals = [*students, *others]
        known = {final.candidate.signature for final in finals} | self.begun
        added: list[Final] = []
        for final in students:
            for candidate in self.tries.drawing.more_files(final.candidate.settings):
                if len(finals) + len(added) >= self.fewest:
                    return added
                if candidate.signature not in known:
                    known.add(candidate.signature)
                    name = f"another file of the student of trial {final.trial + 1}"
                    number = max(each.number for each in (*finals, *added, *self.spare)) + 1
                    added.append(replace(final, number=number, name=name, candidate=candidate))
        return added


def student_of(final: Final) -> str:
    """A name for all finals that train the same model, however long."""
    return student_signature(final.candidate.plan)


def pack_options(packs: int, fewest: int, lengths: Sequence[int | None]) -> list[tuple[int, int | None]]:
    """How many packs and how long a training, what is liked best first. Below the fewest, only with the shortest training."""
    options = [(count, steps) for steps in lengths for count in range(packs, fewest - 1, -1)]
    return options + [(count, lengths[-1]) for count in range(fewest - 1, 0, -1)]  # fewer packs in time, not five too late
