"""Writes the small data sets of the studies beside it: python3 make.py

World and telecom texts, and questions with options, are composed from facts: the telecom ones are those of the
embedded glossary. The samples show the form of data that people bring themselves; they are too few to learn from.
"""

import csv
import json
import random
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
GLOSSARY = tomllib.loads((HERE / "../../src/data/glossary/glossary.toml").read_text())

# Country, capital, continent, currency, language.
WORLD = """
Argentina|Buenos Aires|South America|peso|Spanish
Australia|Canberra|Oceania|dollar|English
Austria|Vienna|Europe|euro|German
Bangladesh|Dhaka|Asia|taka|Bengali
Brazil|Brasilia|South America|real|Portuguese
Cambodia|Phnom Penh|Asia|riel|Khmer
Chile|Santiago|South America|peso|Spanish
China|Beijing|Asia|yuan|Mandarin
Croatia|Zagreb|Europe|euro|Croatian
Denmark|Copenhagen|Europe|krone|Danish
Egypt|Cairo|Africa|pound|Arabic
Ethiopia|Addis Ababa|Africa|birr|Amharic
Finland|Helsinki|Europe|euro|Finnish
France|Paris|Europe|euro|French
Germany|Berlin|Europe|euro|German
Ghana|Accra|Africa|cedi|English
Greece|Athens|Europe|euro|Greek
Hungary|Budapest|Europe|forint|Hungarian
Iceland|Reykjavik|Europe|krona|Icelandic
Indonesia|Jakarta|Asia|rupiah|Indonesian
Iran|Tehran|Asia|rial|Persian
Italy|Rome|Europe|euro|Italian
Japan|Tokyo|Asia|yen|Japanese
Laos|Vientiane|Asia|kip|Lao
Malaysia|Kuala Lumpur|Asia|ringgit|Malay
Mexico|Mexico City|North America|peso|Spanish
Mongolia|Ulaanbaatar|Asia|tugrik|Mongolian
Nigeria|Abuja|Africa|naira|English
Norway|Oslo|Europe|krone|Norwegian
Peru|Lima|South America|sol|Spanish
Poland|Warsaw|Europe|zloty|Polish
Portugal|Lisbon|Europe|euro|Portuguese
Romania|Bucharest|Europe|leu|Romanian
Sweden|Stockholm|Europe|krona|Swedish
Thailand|Bangkok|Asia|baht|Thai
Vietnam|Hanoi|Asia|dong|Vietnamese
""".strip()

SENTENCES = {
    "capital": ["The capital of {name} is {fact}.", "The government of {name} sits in {fact}.",
                "In {name} the capital city is {fact}.", "The seat of parliament of {name} is {fact}."],
    "continent": ["{name} lies in {fact}.", "{name} is a country in {fact}.", "On the map {name} is found in {fact}.",
                  "{name} belongs to {fact}."],
    "currency": ["In {name} people pay with the {fact}.", "The currency of {name} is the {fact}.",
                 "Prices in {name} are in the {fact}.", "The money of {name} is called the {fact}."],
    "language": ["People in {name} speak {fact}.", "The language of {name} is {fact}.",
                 "Books in {name} are written in {fact}.", "In {name} schools teach in {fact}."],
}
# The last of each is asked with options, the others are learned from.
QUESTIONS = {
    "capital": ["Which city is the capital of {name}?", "Where does the government of {name} sit?",
                "Name the capital city of {name}.", "What is the capital of {name}?"],
    "continent": ["On which continent is {name}?", "In which part of the world is {name} found?",
                  "Name the continent of {name}.", "Where does {name} lie?"],
    "currency": ["What is the currency of {name}?", "What is the money of {name} called?",
                 "Name the currency of {name}.", "Which money do people in {name} pay with?"],
    "language": ["What is the language of {name}?", "In which language are books in {name} written?",
                 "Name the language of {name}.", "Which language do people in {name} speak?"],
}


def write(name, rows):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n")


def articles(things, sentences, count, seed):
    """Composes `count` articles on each thing, every one with all its facts in other words and another order."""
    draw = random.Random(seed)
    for name, facts in things:
        for number in range(count):
            kinds = list(facts)
            draw.shuffle(kinds)
            wording = lambda kind: draw.choice(sentences[kind])
            told = [wording(kind).format(term=name, name=name, fact=facts[kind]) for kind in kinds]
            yield {"id": f"{name}/{number}", "group": name, "text": " ".join(told)}


def choices(things, questions, seed):
    """Asks for every fact, with three facts of other things beside it."""
    draw = random.Random(seed)
    for name, facts in things:
        for kind, fact in facts.items():
            others = sorted({other[kind] for _, other in things} - {fact})
            options = draw.sample(others, 3) + [fact]
            draw.shuffle(options)
            question = questions[kind][-1].format(name=name)
            yield {"id": f"{name}/{kind}", "group": name, "question": question, "choices": options,
                   "answer": options.index(fact), "fact": kind}


def asked(things, questions):
    """Asks for every fact in all words but the last ones."""
    for name, facts in things:
        for kind, fact in facts.items():
            for number, question in enumerate(questions[kind][:-1]):
                yield {"id": f"{name}/{kind}/{number}", "group": name, "question": question.format(name=name), "answer": fact}


world = []
for line in WORLD.splitlines():
    name, *facts = line.split("|")
    world.append((name, dict(zip(QUESTIONS, facts))))
terms = [(term["name"], term["facts"]) for term in GLOSSARY["term"]]
wordings = GLOSSARY["wording"]
write("world.jsonl", articles(world, SENTENCES, 10, 1))
write("world-questions.jsonl", asked(world, QUESTIONS))
write("world-choice.jsonl", choices(world, QUESTIONS, 2))
write("telecom.jsonl", articles(terms, {kind: wordings[kind]["sentences"] for kind in wordings}, 6, 3))

# Samples.
say = lambda role, content: {"role": role, "content": content}
rows = []
for number, (name, facts) in enumerate(terms[:24]):
    asked = f"Hello, my service fails since this morning. The technician spoke of {name}. What is that?"
    told = f"I am sorry for the trouble. {name} stands for {facts['expansion']}. I open a ticket and call you back."
    rows.append({"id": f"support-{number}", "use-case": ["fixed", "mobile", "billing"][number % 3],
                 "messages": [say("system", "You are an agent of a telecom operator."), say("user", asked),
                              say("assistant", told)]})
write("sample-support.jsonl", rows)

USE_CASES = ["Network Fundamentals", "IP Routing (IGP)", "IP Routing (BGP)", "MPLS", "QoS", "Firewalls", "Security Operations",
             "Monitoring Protocols", "Monitoring Tools", "Automation", "OSS", "BSS", "OSS/BSS Integration", "RAN Fundamentals",
             "RAN Optimisation", "Mobile Core", "Satellite", "Transport", "Cloud Networking", "Ethical AI"]
with open(HERE / "sample-use-cases.csv", "w", newline="") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["Main Category", "Category", "Scenario_ID", "Context", "Question", "Answer"])
    for number in range(3 * len(USE_CASES)):
        name, facts = terms[number % len(terms)]
        question = wordings["role"]["questions"][number % 8].format(term=name)
        rows.writerow([USE_CASES[number % 20], USE_CASES[number % 20], number + 1, "", question, f"{name} {facts['role']}."])

for source in ["arxiv", "standard", "web", "wiki"]:
    (HERE / "sample-tele-data").mkdir(exist_ok=True)
    drawn = random.Random(source).sample(list(articles(terms, {kind: wordings[kind]["sentences"] for kind in wordings}, 2, 5)), 12)
    write(f"sample-tele-data/{source}.jsonl",
          [{"id": f"{source}_{row['id']}", "category": source, "content": row["text"], "metadata": "{}"} for row in drawn])
write("sample-tele-eval.jsonl",
      [{"id": f"{['arxiv', 'standard', 'web', 'wiki'][number % 4]}_{number}", "source": ["arxiv", "standard", "web", "wiki"][number % 4],
        "Statement": wordings["role"]["questions"][number % 8].format(term=name), "Answer": f"It {facts['role']}."}
       for number, (name, facts) in enumerate(terms[:40])])
