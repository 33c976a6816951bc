"""C of what raw columns need, in float64: the same operations in the same order as NumPy's."""

from __future__ import annotations

NEEDS: dict[str, tuple[str, ...]] = {}
TEXTS: dict[str, str] = {}


def _add(name: str, text: str, *needs: str) -> None:
    TEXTS[name], NEEDS[name] = text.strip("\n") + "\n", needs


_add(
    "raw_line",
    """
/* A line through points, level beyond both ends. */
static double raw_line(double x, const double *places, const double *levels, int count)
{
    int low = 0, high = count;
    if (x != x)
        return x;
    if (x < places[0])
        return levels[0];
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (x < places[middle])
            high = middle;
        else
            low = middle;
    }
    if (low == count - 1 || places[low] == x)
        return levels[low];
    return (levels[low + 1] - levels[low]) / (places[low + 1] - places[low]) * (x - places[low]) + levels[low];
}
""",
)


_add(
    "raw_float",
    """
/* A number rounded to float, which gcc 12 forgets where it sees two of these conversions side by side. */
static double raw_float(double x)
{
    const volatile float rounded = (float)x;
    return (double)rounded;
}
""",
)
_add(
    "raw_product",
    """
/* A product rounded by itself: of two beside each other, of which one has a sum behind it and one a difference, gcc 12
   makes fused ones, whatever -ffp-contract says. */
static double raw_product(double a, double b)
{
    const volatile double product = a * b;
    return product;
}
""",
)
_add(
    "raw_soft",
    """
static double raw_soft(double x)
{
    const double c = x > 1e100 ? 1e100 : x < -1e100 ? -1e100 : x, third = c / 3.0;
    return c / sqrt(1.0 + third * third);
}
""",
)
_add(
    "raw_calendar",
    """
typedef struct {
    int64_t days, year, month, day, begun, length, micro;
} raw_date;

/* Days since 1970 of January 1st. */
static int64_t raw_new_year(int64_t year)
{
    const int64_t past = year + 399;
    return 365 * past + past / 4 - past / 100 + past / 400 - 719162 - 146097;
}

/* Of a moment between the years 1 and 9999. Years begin in March here, so that leap days are their last. */
static raw_date raw_calendar(int64_t x)
{
    raw_date at;
    const int64_t days = (x + INT64_C(719468) * INT64_C(86400000000)) / INT64_C(86400000000);
    const int64_t century = (4 * days + 3) / 146097, rest = days - 146097 * century / 4;
    const int64_t year = (4 * rest + 3) / 1461, past = rest - 1461 * year / 4, month = (5 * past + 2) / 153;
    at.days = days - 719468;
    at.month = month < 10 ? month + 3 : month - 9;
    at.day = past - (153 * month + 2) / 5 + 1;
    at.year = 100 * century + year + (month >= 10);
    at.begun = raw_new_year(at.year);
    at.length = raw_new_year(at.year + 1) - at.begun;
    at.micro = x - at.days * INT64_C(86400000000);
    return at;
}
""",
)
_add(
    "raw_digits",
    """
/* The moment of a number such as 20240131. */
static int64_t raw_digits(double x)
{
    int64_t whole, year, month, moment;
    raw_date at;
    if (!(x >= 1e7 && x < 1e8) || x != floor(x))
        return INT64_C(4611686018427387904);
    whole = (int64_t)x;
    year = whole / 10000;
    month = whole / 100 % 100;
    if (month < 1 || month > 12)
        return INT64_C(4611686018427387904);
    moment = (raw_new_year(year) + (367 * month - 362) / 12 + whole % 100 - 1) * INT64_C(86400000000);
    if (month > 2)
        moment -= (raw_new_year(year + 1) - raw_new_year(year) == 366 ? 1 : 2) * INT64_C(86400000000);
    at = raw_calendar(moment);
    return at.year == year && at.month == month && at.day == whole % 100 ? moment : INT64_C(4611686018427387904);
}
""",
    "raw_calendar",
)
_add(
    "raw_steps",
    """
/* So many steps since 1970 as a moment. */
static int64_t raw_steps(double x, double step)
{
    const double micro = rint(x * step);
    return fabs(micro) < 4611686018427387904.0 ? (int64_t)micro : INT64_C(4611686018427387904);
}
""",
)
_add(
    "raw_space",
    """
/* The bytes of the space that a text begins with; 0 if there is none. */
static int raw_space(const unsigned char *s, const unsigned char *end)
{
    if (s < end && (*s == ' ' || (*s >= 9 && *s <= 13) || (*s >= 28 && *s <= 31)))
        return 1;
    if (end - s >= 2 && s[0] == 0xC2 && (s[1] == 0x85 || s[1] == 0xA0))
        return 2;
    if (end - s < 3)
        return 0;
    if (s[0] == 0xE2 && s[1] == 0x80)
        return (s[2] >= 0x80 && s[2] <= 0x8A) || s[2] == 0xA8 || s[2] == 0xA9 || s[2] == 0xAF ? 3 : 0;
    if (s[0] == 0xE2 && s[1] == 0x81)
        return s[2] == 0x9F ? 3 : 0;
    return s[2] == 0x80 && ((s[0] == 0xE1 && s[1] == 0x9A) || (s[0] == 0xE3 && s[1] == 0x80)) ? 3 : 0;
}
""",
)
_add(
    "raw_number",
    """
/* Write a number in digits as its sign, its digits without zeros at either end, and its power of ten, behind a byte
   that no text has: another for whole numbers from 2 to the 53rd power on that are written as such. Returns the
   length, 0 if it is none, and -1 if it is longer than `most`. */
static int raw_number(const unsigned char *s, const unsigned char *end, char *out, int most)
{
    static const char beyond[17] = "9007199254740992";
    int length = 0, digits = 0, zeros = 0, negative = 0, point = 0, whole = 0, exact = 1;
    long power = 0, more = 0;
    char text[24];
    int i = 0;
    if (s < end && (*s == '+' || *s == '-'))
        negative = *s++ == '-';
    out[length++] = (char)0xFF;
    out[length++] = '-';
    for (; s < end && ((*s >= '0' && *s <= '9') || (*s == '.' && !point)); s++) {
        if (*s == '.') {
            point = 1;
            continue;
        }
        digits = 1;
        whole += !point;
        exact = exact && (!point || *s == '0');
        power -= point;
        if (*s == '0') {
            zeros += length > 2;
            continue;
        }
        for (; zeros > 0; zeros--) {
            if (length >= most)
                return -1;
            out[length++] = '0';
        }
        if (length >= most)
            return -1;
        out[length++] = (char)*s;
    }
    if (!digits)
        return 0;
    power += zeros;
    if (s < end && (*s == 'e' || *s == 'E')) {
        int below = 0;
        exact = 0;
        s++;
        if (s < end && (*s == '+' || *s == '-'))
            below = *s++ == '-';
        if (s == end)
            return 0;
        for (; s < end && *s >= '0' && *s <= '9'; s++)
            more = more > 100000 ? more : 10 * more + (*s - '0');
        power += below ? -more : more;
    }
    if (s != end)
        return 0;
    if (length == 2)
        power = negative = 0;
    if (!negative)
        out[1] = '+';
    if (exact && whole > 0 && length - 2 + power >= 16) {
        int past = length - 2 + power > 16;
        for (int k = 0; !past && k < 16; k++) {
            const char digit = k < length - 2 ? out[k + 2] : '0';
            if (digit != beyond[k] && digit < beyond[k])
                break;
            past = digit > beyond[k] || k == 15;
        }
        if (past)
            out[0] = (char)0xFE;
    }
    if (length + 24 > most)
        return -1;
    out[length++] = 'e';
    if (power < 0) {
        out[length++] = '-';
        power = -power;
    }
    do {
        text[i++] = (char)('0' + power % 10);
        power /= 10;
    } while (power);
    while (i > 0)
        out[length++] = text[--i];
    return length;
}
""",
)
_add(
    "raw_code",
    """
/* The code of a text among sorted ones, or -1. */
static int raw_find(const char *text, int length, const raw_text *known, int count)
{
    int low = 0, high = count;
    while (low < high) {
        const int middle = low + (high - low) / 2, most = known[middle].length < length ? known[middle].length : length;
        const int side = memcmp(known[middle].text, text, (size_t)most);
        if (side == 0 && known[middle].length == length)
            return known[middle].code;
        if (side < 0 || (side == 0 && known[middle].length < length))
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The code of a text: 0 if it is one of `missing`, without the spaces around; that of its key; or `other`. */
static int raw_code(const char *given, const raw_text *missing, int gone, const raw_text *known, int count,
    int by_value, int other)
{
    const unsigned char *s = (const unsigned char *)given, *end;
    char key[RAW_KEY];
    int length, found;
    if (given == 0)
        return 0;
    end = s + strlen(given);
    while ((length = raw_space(s, end)) > 0)
        s += length;
    for (;;) {
        if (s < end && raw_space(end - 1, end) == 1)
            end -= 1;
        else if (end - s >= 2 && raw_space(end - 2, end) == 2)
            end -= 2;
        else if (end - s >= 3 && raw_space(end - 3, end) == 3)
            end -= 3;
        else
            break;
    }
    if (raw_find((const char *)s, (int)(end - s), missing, gone) == 0)
        return 0;
    length = by_value ? raw_number(s, end, key, RAW_KEY) : 0;
    if (length < 0)
        return other;
    if (length > 0)
        found = raw_find(key, length, known, count);
    else
        found = raw_find((const char *)s, (int)(end - s), known, count);
    return found < 0 ? other : found;
}
""",
    "raw_space",
    "raw_number",
)
