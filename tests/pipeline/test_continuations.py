"""The report of a decoder shows how texts go on before and after: by transformers' own generate, and by the shipped file."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgepack.pack.manifest import read_manifest
from edgepack.report.judge import judge
from edgepack.report.write import html, markdown


def _goes_on(folder, prompt):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    encoded = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**encoded, do_sample=False, max_new_tokens=24)
    return tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.slow
def test_the_teachers_text_is_that_of_its_own_library(stories, stories_pack):
    texts = read_manifest(stories_pack).continuations
    assert len({text.prompt for text in texts}) == 3
    for text in texts:
        assert text.teacher.strip() == _goes_on(stories, text.prompt).strip() != ""
        assert text.shipped == text.teacher  # this pack is in fp32


def test_the_report_shows_both_and_nothing_in_them_becomes_markup(stories_pack):
    manifest = read_manifest(stories_pack)
    hostile = manifest.continuations[0].model_copy(update={"shipped": "<b>a | b</b>\n# c"})
    report = judge(manifest.model_copy(update={"continuations": (hostile,)}), None)
    page, text = html(report), markdown(report)
    assert "How texts go on, before and after" in page and "How texts go on, before and after" in text
    assert "<b>a" not in page and "&lt;b&gt;a" in page
    (line,) = [line for line in text.splitlines() if manifest.continuations[0].prompt in line]
    assert line.count("|") - line.count("\\|") == 4 and "<b>" not in line


def test_a_classifiers_report_shows_none(pack_folder):
    manifest = read_manifest(pack_folder)
    assert manifest.continuations == () and "How texts go on" not in html(judge(manifest, None))
