/** The calibrations that come with warpbook, and which model a machine gets where none is named. */
import type { Machine } from '../schedule/machine';
import h100 from './calibrations/h100.json';
import { type CostModel, machineFamily } from './cost-model';
import { rooflineModel } from './roofline';

/** Cost models by machine. */
export const costModels: { readonly h100: CostModel } = {
  h100: h100 as CostModel,
};

/** The calibration of this machine where there is one, else a roofline estimate. */
export function defaultModel(machine: Machine): CostModel {
  const known = Object.values(costModels).find(
    (model: CostModel) => machineFamily(model.gpu) === machineFamily(machine.name) && model.numSms === machine.numSms,
  );
  return known ?? rooflineModel(machine);
}
