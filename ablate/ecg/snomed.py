"""SNOMED CT codes that the CinC 2021 challenge scored, under its abbreviations; codes that it scored as one share one.

Source: Reyna et al., CinC 2021, table of scored diagnoses.
"""

from collections.abc import Mapping

SCORED: Mapping[str, str] = {
    "164889003": "AF",
    "164890007": "AFL",
    "6374002": "BBB",
    "426627000": "Brady",
    "733534002": "LBBB",  # complete left bundle branch block
    "164909002": "LBBB",
    "713427006": "RBBB",  # complete right bundle branch block
    "59118001": "RBBB",
    "270492004": "IAVB",
    "713426002": "IRBBB",
    "39732003": "LAD",
    "445118002": "LAnFB",
    "251146004": "LQRSV",
    "698252002": "NSIVCB",
    "426783006": "NSR",
    "284470004": "PAC",
    "63593006": "PAC",  # supraventricular premature beats
    "10370003": "PR",
    "365413008": "PRWP",
    "427172004": "PVC",
    "17338001": "PVC",  # ventricular premature beats
    "164947007": "LPR",
    "111975006": "LQT",
    "164917005": "QAb",
    "47665007": "RAD",
    "427393009": "SA",
    "426177001": "SB",
    "427084000": "STach",
    "164934002": "TAb",
    "59931005": "TInv",
}
