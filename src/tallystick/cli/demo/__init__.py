"""`tally demo`: the main job from end to end on real data, and three frauds that are caught.

    play.py             the order of the scenes, and how the demo ends
    stage.py            the folder, the organisations in it, and their processes
    scenes_zone.py      a zone is made and joined; what was recorded is checked
    scenes_network.py   several make a zone and order together; one of them is killed
    scenes_sharing.py   data is offered, asked for, decided on, delivered; an agreement is ended
    scenes_proofs.py    evidence and receipts
    frauds.py           a ledger and a receipt are altered
    two_histories.py    an orderer tells two histories
    another_history.py  one of several that order signs another history
    telling.py          what is printed
    summary.py          what is said first and last

Rules of this room:

- What it shows is what real nodes do: each organisation is a `tally node run` of its own, reached as users reach it.
- Whatever it says has been looked at before it is said. What does not hold ends the demo with a line and an exit code.
- Frauds happen in copies, and the homes of the four organisations stay good. Only the third one, where several order,
  happens among the running nodes: their homes then keep the proof of it, and are good nevertheless.
"""
