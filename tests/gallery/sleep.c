/* SPDX-License-Identifier: MIT */
/* A pause between two tries, by sleep(3)'s kin. Repaired: a timer of the loop. */
#include "gallery.h"

#include <unistd.h>

int wrong(void *arg)
{
    (void)arg;
    return usleep(1000);
}

int repaired(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_ms(1));
}
