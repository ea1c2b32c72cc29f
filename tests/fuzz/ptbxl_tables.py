"""PTB-XL's two tables, of ten records."""

STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior infarction,1.0,,,MI,IMI
PVC,extrasystole,,1.0,,,
SR,sinus rhythm,,,1.0,,
"""
DATABASE = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n" + "".join(
    f"{i},{100 + i}.0,50,0,\"{{'{'NORM' if i % 2 else 'IMI'}': 100.0, 'SR': 0.0}}\",{i},"
    f"records100/00000/{i:05d}_lr,records500/00000/{i:05d}_hr\n"
    for i in range(1, 11)
)
