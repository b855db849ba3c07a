"""The examples of all tasks in other languages, by the English text; and which of them a tokenizer was made for."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

_ENGLISH = (
    "turn on the light", "Who wrote it?", "The first program was written by Ada Lovelace.", "How many people live in Berlin?",
    "Berlin has 3.7 million inhabitants.", "Once upon a time", "Ada Lovelace lived in London.",
)  # fmt: skip
# Each as in _ENGLISH. No mark in them means anything in a shell or in a string of a programming language.
_TEXTS: dict[str, tuple[str, ...]] = {
    "de": (
        "mach das Licht an", "Wer hat es geschrieben?", "Das erste Programm wurde von Ada Lovelace geschrieben.",
        "Wie viele Menschen leben in Berlin?", "Berlin hat 3,7 Millionen Einwohner.", "Es war einmal", "Ada Lovelace lebte in London.",
    ),
    "fr": (
        "allume la lumière", "Qui est son auteur?", "Le premier programme a été écrit par Ada Lovelace.",
        "Combien de personnes vivent à Berlin?", "Berlin compte 3,7 millions de personnes.", "Il était une fois",
        "Ada Lovelace vivait à Londres.",
    ),
    "es": (
        "enciende la luz", "¿Quién lo escribió?", "El primer programa fue escrito por Ada Lovelace.", "¿Cuántas personas viven en Berlín?",
        "Berlín tiene 3,7 millones de habitantes.", "Había una vez", "Ada Lovelace vivía en Londres.",
    ),
    "it": (
        "accendi la luce", "Chi lo ha scritto?", "Il primo programma fu scritto da Ada Lovelace.", "Quante persone vivono a Berlino?",
        "Berlino ha 3,7 milioni di abitanti.", "Una volta viveva", "Ada Lovelace viveva a Londra.",
    ),
    "pt": (
        "acende a luz", "Quem escreveu isso?", "O primeiro programa foi escrito por Ada Lovelace.", "Quantas pessoas vivem em Berlim?",
        "Berlim tem 3,7 milhões de habitantes.", "Era uma vez", "Ada Lovelace vivia em Londres.",
    ),
    "nl": (
        "doe het licht aan", "Wie heeft het geschreven?", "Het eerste programma werd door Ada Lovelace geschreven.",
        "Hoeveel mensen wonen er in Berlijn?", "Berlijn heeft 3,7 miljoen inwoners.", "Er was eens", "Ada Lovelace woonde in Londen.",
    ),
    "pl": (
        "włącz światło", "Kto to napisał?", "Pierwszy program napisała Ada Lovelace.", "Ile osób mieszka w Berlinie?",
        "Berlin ma 3,7 miliona mieszkańców.", "Dawno, dawno temu", "Ada Lovelace mieszkała w Londynie.",
    ),
    "tr": (
        "ışığı aç", "Onu kim yazdı?", "İlk programı Ada Lovelace yazdı.", "Berlin şehrinde kaç kişi yaşıyor?",
        "Berlin 3,7 milyon nüfusludur.", "Bir varmış bir yokmuş", "Ada Lovelace Londra şehrinde yaşadı.",
    ),
    "zh": (
        "打开灯", "这是谁写的？", "第一个程序是艾达写的。", "柏林有多少人？", "柏林有三百七十万人。", "从前有一个人", "艾达住在伦敦。",
    ),
    "ja": (
        "明かりをつけて", "だれが書きましたか？", "最初のプログラムはエイダが書きました。", "ベルリンには何人住んでいますか？",
        "ベルリンの人口は370万人です。", "むかしむかし", "エイダはロンドンに住んでいました。",
    ),
    "ko": (
        "불을 켜 줘", "누가 썼습니까?", "최초의 프로그램은 에이다가 썼습니다.", "베를린에는 몇 명이 살고 있습니까?",
        "베를린의 인구는 370만 명입니다.", "옛날 옛적에", "에이다는 런던에 살았습니다.",
    ),
    "ru": (
        "включи свет", "Кто это написал?", "Первую программу написала Ада Лавлейс.", "Сколько людей живёт в Берлине?",
        "В Берлине живёт 3,7 миллиона человек.", "Давным давно", "Ада Лавлейс жила в Лондоне.",
    ),
    "uk": (
        "увімкни світло", "Хто це написав?", "Першу програму написала Ада Лавлейс.", "Скільки людей живе в Берліні?",
        "У Берліні живе 3,7 мільйона людей.", "Давним давно", "Ада Лавлейс жила в Лондоні.",
    ),
    "ar": (
        "شغل الضوء", "من كتبه؟", "كتبت آدا لوفلايس أول برنامج.", "كم عدد سكان برلين؟", "يبلغ عدد سكان برلين 3.7 مليون نسمة.",
        "كان يا ما كان", "عاشت آدا لوفلايس في لندن.",
    ),
    "fa": (
        "چراغ را روشن کن", "چه کسی آن را نوشت؟", "اولین برنامه را آدا لاولیس نوشت.", "چند نفر در برلین زندگی می کنند؟",
        "برلین 3.7 میلیون نفر جمعیت دارد.", "یکی بود یکی نبود", "آدا لاولیس در لندن زندگی می کرد.",
    ),
    "he": (
        "תדליק את האור", "מי כתב את זה?", "התוכנית הראשונה נכתבה על ידי עדה לאבלייס.", "כמה אנשים גרים בברלין?",
        "בברלין גרים 3.7 מיליון תושבים.", "היה היה פעם", "עדה לאבלייס גרה בלונדון.",
    ),
    "hi": (
        "बत्ती जलाओ", "इसे किसने लिखा?", "पहला प्रोग्राम एडा लवलेस ने लिखा था।", "बर्लिन में कितने लोग रहते हैं?",
        "बर्लिन की आबादी 37 लाख है।", "एक समय की बात है", "एडा लवलेस लंदन में रहती थी।",
    ),
    "el": (
        "άναψε το φως", "Ποιος το έγραψε?", "Το πρώτο πρόγραμμα το έγραψε η Άντα Λάβλεϊς.", "Πόσοι άνθρωποι ζουν στο Βερολίνο?",
        "Το Βερολίνο έχει 3,7 εκατομμύρια κατοίκους.", "Μια φορά και έναν καιρό", "Η Άντα Λάβλεϊς ζούσε στο Λονδίνο.",
    ),
    "th": (
        "เปิดไฟ", "ใครเขียน?", "โปรแกรมแรกเขียนโดยเอดา", "มีคนอาศัยอยู่ในเบอร์ลินกี่คน?", "เบอร์ลินมีประชากร 3.7 ล้านคน",
        "กาลครั้งหนึ่ง", "เอดาอาศัยอยู่ในลอนดอน",
    ),
}  # fmt: skip
_SCRIPTS = {  # the first word of Unicode's names of letters, and the languages that are written so
    "LATIN": ("de", "fr", "es", "it", "pt", "nl", "pl", "tr"), "CJK": ("zh",), "HANGUL": ("ko",), "CYRILLIC": ("ru", "uk"),
    "ARABIC": ("ar", "fa"), "HEBREW": ("he",), "DEVANAGARI": ("hi",), "GREEK": ("el",), "THAI": ("th",),
}  # fmt: skip
_KANA = ("HIRAGANA", "KATAKANA")  # beside Chinese characters in every Japanese text; a Chinese vocabulary has the single ones alone
_MUCH = 0.15  # of a vocabulary's pieces with letters
_MUCH_FEWER = 0.8  # of the tokens of the same texts in English: a multilingual model's are about as many


def examples_in(language: str) -> dict[str, str]:
    """By the English text."""
    return dict(zip(_ENGLISH, _TEXTS[language], strict=True))


def language_of(pieces: Iterable[str], count: Callable[[str], int]) -> str | None:
    """The language whose words a tokenizer knows. None: English, many languages, or one that is not known here.

    pieces: of its vocabulary, as text. count: the tokens of a text. Most pieces are of the language's script, and of the languages of one
    script it is that whose texts take the fewest tokens.
    """
    scripts = Counter(script for piece in pieces if (script := _script_of(piece)))
    total = sum(scripts.values())
    kana = sum(scripts[name] for name in _KANA)
    if kana > _MUCH * total and kana + scripts["CJK"] > total / 2:
        return "ja"
    script, times = max(scripts.items(), key=lambda pair: pair[1], default=("", 0))
    if script not in _SCRIPTS or times <= total / 2:
        return None
    tokens = {name: sum(map(count, _TEXTS[name])) for name in _SCRIPTS[script]}
    best = min(tokens, key=lambda name: tokens[name])
    is_english = script == "LATIN" and tokens[best] > _MUCH_FEWER * sum(map(count, _ENGLISH))
    return None if is_english else best


def _script_of(piece: str) -> str | None:
    """Of a piece's first letter."""
    letter = next((character for character in piece if unicodedata.category(character)[0] == "L"), None)
    return unicodedata.name(letter, "").partition(" ")[0] or None if letter else None
