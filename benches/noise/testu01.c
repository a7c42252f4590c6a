/* Runs a battery of TestU01 on raw little-endian u32 from standard input.
 *
 *     cc -O2 testu01.c -ltestu01 -lprobdist -lmylib -lm -o testu01
 *     noise_stream --order elements | ./testu01 small elements
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bbattery.h>
#include <swrite.h>
#include <unif01.h>

static uint32_t words[1 << 14];
static size_t next_word, have;

static unsigned int next(void)
{
    if (next_word == have) {
        have = fread(words, sizeof *words, sizeof words / sizeof *words, stdin);
        next_word = 0;
        if (have == 0) {
            fputs("testu01: standard input ended\n", stderr);
            exit(1);
        }
    }
    return words[next_word++];
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: testu01 small|crush|big NAME < words\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    swrite_Basic = FALSE;
    unif01_Gen *generator = unif01_CreateExternGenBits(argv[2], next);
    if (strcmp(argv[1], "small") == 0)
        bbattery_SmallCrush(generator);
    else if (strcmp(argv[1], "crush") == 0)
        bbattery_Crush(generator);
    else if (strcmp(argv[1], "big") == 0)
        bbattery_BigCrush(generator);
    else {
        fputs("testu01: the battery is small, crush or big\n", stderr);
        return 2;
    }
    unif01_DeleteExternGenBits(generator);
    return 0;
}
