"""What compares stored numbers with found ones in C, and says where they differ first."""

from __future__ import annotations

DIFFERS = """static int {function}(const char *what, int row, const {number} *wanted, const {number} *found, int count)
{{
    int bad = 0;
    for (int i = 0; i < count; i++)
        if (memcmp(wanted + i, found + i, sizeof *found) && !(wanted[i] != wanted[i] && found[i] != found[i])) {{
            if (!bad)
                printf("{name}_%s, row %d, number %d: must be %a, got %a\\n", what, row, i, (double)wanted[i],
                       (double)found[i]);
            bad = 1;
        }}
    return bad;
}}
"""

LABELS_DIFFER = """static int labels_differ(int row, const int *wanted, const int *found, int count)
{{
    int bad = 0;
    for (int i = 0; i < count; i++)
        if (wanted[i] != found[i]) {{
            if (!bad)
                printf("{name}_predict_row, row %d, label %d: must be %d, got %d\\n", row, i, wanted[i], found[i]);
            bad = 1;
        }}
    return bad;
}}
"""
