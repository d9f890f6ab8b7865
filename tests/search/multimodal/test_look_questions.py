"""Which questions a look at a picture, or listening to a sound, answers."""

from __future__ import annotations

import pytest

from search.language.reading.glosses import in_english
from search.multimodal.look_questions import Look, LookKind, look_for
from search.signals import Sense


@pytest.mark.parametrize(
    ("question", "looks"),
    [
        ("What colour is the dog's collar?", True),
        ("what color are the curtains", True),
        ("What's the colour of the collar?", True),
        ("What is the man doing?", True),
        ("What's he doing?", True),
        ("What is she wearing?", True),
        ("Is he wearing a hat?", True),
        ("How many dogs are in the picture?", True),
        ("How many people are there?", True),
        ("Is there a boat in the photo?", True),
        ("What animal is in the photo?", True),
        ("Describe the photo of the dog", True),
        ("Is there a photo of a boat?", False),
        ("Are there pictures of boats in the library?", False),
        ("What did she say about the bridge?", False),
        ("When was the photo taken?", False),
        ("How many photos are there?", False),
        ("How many people are there in the team?", False),
        ("Is the pool open on Sunday?", False),
        ("What is this?", False),
        ("What breed is it?", False),
        ("Where is the dog in the photo?", True),
        ("In the picture, where is the dog?", True),
        ("Where is the car parked?", False),
        ("where is the key for the piano", False),
        ("Where is the photo of the dog?", False),
        ("What instrument is she playing?", True),
        ("What time is the band playing?", False),
        ("What day are they playing?", False),
        ("What is playing at the cinema?", False),
        ("Describe the procedure", False),
    ],
)
def test_some_questions_need_a_look(question: str, looks: bool) -> None:
    look = look_for(question)
    assert (look is not None and look.sense is Sense.SEEN) is looks


@pytest.mark.parametrize(
    ("question", "listens"),
    [
        ("What can be heard?", True),
        ("What animal can be heard?", True),
        ("Which animal do you hear?", True),
        ("What could you hear?", True),
        ("What is making that noise?", True),
        ("What does it sound like?", True),
        ("Did you hear about the bridge?", False),
        ("What did you hear about the bridge?", False),
        ("Is there a recording of rain?", False),
        ("Can you hear a siren?", False),
        ("Is there a siren in it?", False),
        ("What animal is in the photo?", False),
        ("What animal is this?", False),
        ("What vehicle is that?", False),
        ("What machine makes it?", False),
        ("What did she say about the siren?", False),
    ],
)
def test_some_questions_need_to_be_listened_to(question: str, listens: bool) -> None:
    look = look_for(question)
    assert (look is not None and look.sense is Sense.HEARD) is listens


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is the dog wet?", LookKind.YES_NO),
        ("Does he wear a hat?", LookKind.YES_NO),
        ("What breed is it?", LookKind.OTHER),
        ("What animal is this?", LookKind.OTHER),
        ("What is this?", LookKind.WHOLE),
        ("Who is that?", LookKind.WHOLE),
        ("What do you see?", LookKind.WHOLE),
        ("Describe it", LookKind.WHOLE),
        ("Please describe this picture.", LookKind.WHOLE),
        ("How many chairs are there?", LookKind.COUNT),
        ("What colour is it?", LookKind.OTHER),
        ("Where does the road lead?", LookKind.OTHER),
    ],
)
def test_any_question_may_be_about_something_given(question: str, kind: LookKind) -> None:
    look = look_for(question, {Sense.SEEN, Sense.SAID})
    assert look
    assert (look.sense, look.kind) == (Sense.SEEN, kind)


def test_this_means_a_sound_where_a_sound_is_given() -> None:
    assert look_for("What animal is this?", {Sense.HEARD}) == Look(Sense.HEARD, LookKind.OTHER, "What animal is this?")
    assert look_for("What is that?", {Sense.HEARD}) == Look(Sense.HEARD, LookKind.WHOLE, "What is that?")
    assert look_for("What animal can be heard?", {Sense.SEEN, Sense.HEARD}) == Look(
        Sense.HEARD, LookKind.OTHER, "What animal can be heard?"
    )
    assert look_for("What colour is it?", {Sense.HEARD}) == look_for("What colour is it?")  # no sound tells
    assert look_for("Is it a dog?", {Sense.HEARD}) is None  # of those it answers half rightly


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What colour is the dog's collar?", "collar"),
        ("what color are the curtains", "curtains"),
        ("Which colour was her old coat in the photo?", "old coat"),
        ("What colours does the flag have?", "flag"),
        ("What's the colour of the collar of the dog?", "collar"),
        ("Can you tell me the colour of my car?", "car"),
        ("And what colour is it (dog)?", "dog"),
        ("Welche Farbe hat das Halsband des Hundes?", "collar"),
        ("Welche Farbe haben die Vorhänge?", "curtain"),
        ("De quelle couleur est le chien ?", "dog"),
        ("Quelle est la couleur du collier du chien ?", "collar"),
        ("¿De qué color es el collar del perro?", "collar"),
        ("¿Cuál es el color del coche?", "car"),
        ("What colour is it?", ""),
        ("What is the man wearing?", ""),
        ("What colour is the sky in the song?", "sky"),
        ("What colour is the dog on the left?", "dog"),
        ("What colour is the car that he is in?", "car"),
    ],
)
def test_the_thing_whose_colour_is_asked_for(question: str, thing: str) -> None:
    look = look_for(in_english(question))
    assert look
    assert look.thing == thing


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("How many dogs can you see in the photo?", "How many dogs are there?"),
        ("What does the woman wear?", "What is the woman wearing?"),
        ("What is Anna wearing?", "What is Anna wearing?"),
        ("What's Anna's dog doing in the photo?", "What is Anna's dog doing?"),
        ("What is everyone wearing?", "What is everyone wearing?"),
        ("What man is doing?", "What is the man doing?"),
        ("What were you doing?", "What were you doing?"),
        ("What are we eating?", "What are we eating?"),
        ("What am I holding?", "What am I holding?"),
        ("What are they doing?", "What are they doing?"),
        ("What game is the boy playing?", "What game is the boy playing?"),
        ("Was macht der Mann?", "What is the man doing?"),
        ("Was tut der Mann auf dem Foto?", "What is the man doing?"),
        ("Was trägt die Frau?", "What is the woman wearing?"),
        ("Trägt er einen Hut?", "Does he wear a hat?"),
        ("Was hält das Mädchen in der Hand?", "What is the girl holding?"),
        ("Wie viele Hunde sind auf dem Bild?", "How many dogs are there?"),
        ("Wie viele Menschen sind zu sehen?", "How many people are there?"),
        ("Ist ein Hund auf dem Bild?", "Is there a dog in the picture?"),
        ("Que fait l'homme ?", "What is the man doing?"),
        ("Qu'est-ce que l'homme est en train de faire ?", "What is the man doing?"),
        ("Que porte la femme ?", "What is the woman wearing?"),
        ("Porte-t-il un chapeau ?", "Does he wear a hat?"),
        ("Combien de chiens y a-t-il sur la photo ?", "How many dogs are there?"),
        ("Combien de personnes y a-t-il ?", "How many people are there?"),
        ("Y a-t-il un chien sur la photo ?", "Is there a dog in the picture?"),
        ("¿Qué está haciendo el hombre?", "What is the man doing?"),
        ("¿Qué hace el hombre?", "What is the man doing?"),
        ("¿Qué lleva puesto la mujer?", "What is the woman wearing?"),
        ("¿Qué sostiene la niña?", "What is the girl holding?"),
        ("¿Cuántos perros hay en la foto?", "How many dogs are there?"),
        ("¿Hay un perro en la foto?", "Is there a dog in the picture?"),
    ],
)
def test_the_model_is_asked_as_it_was_trained(question: str, asked: str) -> None:
    look = look_for(in_english(question))
    assert look
    assert (look.sense, look.asked) == (Sense.SEEN, asked)


@pytest.mark.parametrize(
    ("question", "sense", "kind"),
    [
        ("Ist der Hund nass?", Sense.SEEN, LookKind.YES_NO),
        ("Le chien est-il mouillé ?", Sense.SEEN, LookKind.YES_NO),
        ("¿Está mojado el perro?", Sense.SEEN, LookKind.YES_NO),
        ("Was ist das?", Sense.SEEN, LookKind.WHOLE),
        ("Qu'est-ce que c'est ?", Sense.SEEN, LookKind.WHOLE),
        ("¿Qué es esto?", Sense.SEEN, LookKind.WHOLE),
        ("Beschreibe dieses Bild", Sense.SEEN, LookKind.WHOLE),
        ("Décris cette photo", Sense.SEEN, LookKind.WHOLE),
        ("Describe esta foto", Sense.SEEN, LookKind.WHOLE),
        ("Was zeigt das Foto?", Sense.SEEN, LookKind.WHOLE),
        ("Que voit-on sur la photo ?", Sense.SEEN, LookKind.WHOLE),
        ("¿Qué se ve en la foto?", Sense.SEEN, LookKind.WHOLE),
        ("Was hört man?", Sense.HEARD, LookKind.OTHER),
        ("Welches Tier ist zu hören?", Sense.HEARD, LookKind.OTHER),
        ("Was macht dieses Geräusch?", Sense.HEARD, LookKind.OTHER),
        ("Quel animal entend-on ?", Sense.HEARD, LookKind.OTHER),
        ("Qu'est-ce qu'on entend ?", Sense.HEARD, LookKind.OTHER),
        ("¿Qué animal se oye?", Sense.HEARD, LookKind.OTHER),
    ],
)
def test_questions_in_other_languages_look_and_listen_too(question: str, sense: Sense, kind: LookKind) -> None:
    look = look_for(in_english(question), {Sense.SEEN, Sense.HEARD})
    assert look
    assert (look.sense, look.kind) == (sense, kind)
