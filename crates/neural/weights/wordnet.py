"""WordNet 3.0 as a folder that cortica-train reads: concepts, relations, queries and their embeddings.

    pip install numpy sentence-transformers
    python crates/neural/weights/wordnet.py DICT OUT_DIR

DICT holds WordNet's data.noun, data.verb, data.adj and data.adv (Debian: package wordnet-base). Rows are the
30,720 that the shipped weights come from: 768.rows has a bit for each synset, in WordNet's order, the lowest of
a byte first. With --rows N others are drawn, with all that stands above them in the hierarchy. What is embedded is
`lemmas: definition`. Queries are lemmas, definitions or example sentences of rows drawn at random. With
--texts nothing is embedded.
"""

import argparse
import random
from pathlib import Path

SHIPPED = Path(__file__).with_name("768.rows")
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}

# Names of relations by WordNet's sign; some signs mean another relation in another part of speech.
KINDS = {
    "^": "also_see", "!": "antonym", "=": "attribute", ">": "cause", "+": "derivation", ";r": "domain_region",
    "-r": "domain_region_member", ";c": "domain_topic", "-c": "domain_topic_member", ";u": "domain_usage",
    "-u": "domain_usage_member", "*": "entailment", "@": "hypernym", "~": "hyponym", "@i": "instance_hypernym",
    "~i": "instance_hyponym", "#m": "member_holonym", "%m": "member_meronym", "#p": "part_holonym",
    "%p": "part_meronym", "<": "participle", "\\": "pertainym", "&": "similar", "#s": "substance_holonym",
    "%s": "substance_meronym", "$": "verb_group",
}  # fmt: skip
NUMBERS = {kind: at for at, kind in enumerate(sorted(KINDS.values()))}


def read(folder):
    """All synsets by id, in WordNet's order: lemmas, definition, examples, relations."""
    synsets = {}
    for part, name in PARTS.items():
        for line in (folder / f"data.{name}").read_text("latin1").splitlines():
            if line.startswith(" "):
                continue  # The licence.
            fields, gloss = line.split(" | ")[0].split(), line.split(" | ", 1)[1].strip()
            words = int(fields[3], 16)
            lemmas = [word.split("(")[0].replace("_", " ") for word in fields[4 : 4 + 2 * words : 2]]
            at = 5 + 2 * words
            relations = []
            for sign, offset, to in zip(fields[at::4], fields[at + 1 :: 4], fields[at + 2 :: 4]):
                if len(relations) == int(fields[at - 1]):
                    break  # What follows are the frames of a verb.
                relations.append((NUMBERS[KINDS[sign]], to.replace("s", "a") + offset))
            definition, *examples = gloss.split('; "')
            examples = [example.strip(' ";') for example in examples]
            # Between senses there may be several of a kind, and some that lead back: once, and not those.
            relations = sorted({(kind, to) for kind, to in relations if to != part + fields[0]})
            synsets[part + fields[0]] = (lemmas, definition.strip(" ;"), examples, relations)
    return synsets


def draw(synsets, count, rng):
    above = {NUMBERS["hypernym"], NUMBERS["instance_hypernym"]}
    order, chosen = list(synsets), set()
    rng.shuffle(order)
    for row in order:
        waiting = [row]
        while waiting and len(chosen) < count:
            row = waiting.pop()
            if row not in chosen:
                chosen.add(row)
                waiting.extend(to for kind, to in synsets[row][3] if kind in above)
    return [row for row in synsets if row in chosen]


def shipped(synsets):
    bits = SHIPPED.read_bytes()
    return [row for at, row in enumerate(synsets) if bits[at // 8] >> (at % 8) & 1]


def queries(synsets, rows, count, rng):
    """Kind, row and text of each: a row's example sentence, its lemmas or its definition."""
    drawn = []
    for at in rng.sample(range(len(rows)), count):
        lemmas, definition, examples, _ = synsets[rows[at]]
        kinds = [("lemma", ", ".join(lemmas)), ("gloss", definition)]
        kinds += [("example", example) for example in examples]
        kind, text = rng.choice(kinds)
        drawn.append((kind, at, text))
    return drawn


def embed(texts):
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer("sentence-transformers/all-mpnet-base-v2")
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=True)
    return np.asarray(vectors, dtype="<f2")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("dict", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--rows", type=int)
    options.add_argument("--queries", type=int, default=600)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--texts", action="store_true")
    given = options.parse_args()
    synsets, rng = read(given.dict), random.Random(given.seed)
    rows = draw(synsets, given.rows, rng) if given.rows else shipped(synsets)
    asked = queries(synsets, rows, given.queries, rng)
    place = {row: at for at, row in enumerate(rows)}
    edges, texts = [], []
    for at, row in enumerate(rows):
        lemmas, definition, _, relations = synsets[row]
        texts.append(f"{', '.join(lemmas)}: {definition}")
        edges.extend((at, place[to], kind) for kind, to in relations if to in place)
    edges.sort()

    given.out.mkdir(parents=True, exist_ok=True)
    lines = [f"{at}\t{row}\t{text}\n" for at, (row, text) in enumerate(zip(rows, texts))]
    (given.out / "items.tsv").write_text("".join(lines), "utf-8")
    lines = [f"{at}\t{kind}\t{row}\t{text}\n" for at, (kind, row, text) in enumerate(asked)]
    (given.out / "queries.tsv").write_text("".join(lines), "utf-8")
    counts = [0] * len(NUMBERS)
    for _, _, _, relations in synsets.values():
        for kind, _ in relations:
            counts[kind] += 1
    lines = [f"{at}\t{kind}\t{counts[at]}\n" for kind, at in NUMBERS.items()]
    (given.out / "edge_types.tsv").write_text("".join(lines), "utf-8")
    (given.out / "edges.u32").write_bytes(b"".join(n.to_bytes(4, "little") for edge in edges for n in edge))
    print(f"{len(rows)} concepts, {len(edges)} relations, {len(asked)} queries")
    if not given.texts:
        import numpy as np

        np.save(given.out / "X.npy", embed(texts))
        np.save(given.out / "q.npy", embed([text for _, _, text in asked]))


main()
